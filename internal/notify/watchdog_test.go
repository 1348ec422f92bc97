package notify_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"verge/internal/notify"
)

// The service manager's limit in these tests.
const limit = 8 * time.Second

// watched runs a watchdog for a while and returns at which times it was fed, and at
// which it was not.
func watched(t *testing.T, span time.Duration, check func(ctx context.Context, at time.Duration) error) (fed, failed []time.Duration) {
	t.Helper()
	begin := time.Now()
	since := func() time.Duration { return time.Since(begin) }
	ctx, cancel := context.WithTimeout(t.Context(), span)
	defer cancel()
	notify.Watchdog{
		Limit: limit,
		Check: func(ctx context.Context) error { return check(ctx, since()) },
		Feed: func() error {
			fed = append(fed, since())
			return nil
		},
		Failed: func(error) { failed = append(failed, since()) },
	}.Run(ctx)
	return fed, failed
}

func seconds(all ...int) (times []time.Duration) {
	for _, s := range all {
		times = append(times, time.Duration(s)*time.Second)
	}
	return times
}

func TestAWatchdogIsFedTwiceWithinItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fed, failed := watched(t, 15*time.Second, func(context.Context, time.Duration) error {
			time.Sleep(time.Second) //nolint:forbidigo // the clock is the test's: a check that takes its time
			return nil
		})
		if diff := cmp.Diff(seconds(1, 5, 9, 13), fed); diff != "" || failed != nil {
			t.Errorf("failed at %v, fed (-want +got):\n%s", failed, diff)
		}
	})
}

func TestAWatchdogIsNotFedWhileTheCheckHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fed, failed := watched(t, 29*time.Second, func(ctx context.Context, at time.Duration) error {
			if at < 4*time.Second {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		if diff := cmp.Diff(seconds(0), fed); diff != "" {
			t.Errorf("fed (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(seconds(6, 9, 12, 15, 18, 21, 24, 27), failed); diff != "" {
			t.Errorf("failed (-want +got):\n%s", diff)
		}
	})
}

func TestACheckThatFailsOnceIsTriedAgainBeforeTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fed, failed := watched(t, 10*time.Second, func(_ context.Context, at time.Duration) error {
			if at == 4*time.Second {
				return errors.New("no")
			}
			return nil
		})
		if !slices.Equal(fed, seconds(0, 5, 9)) || !slices.Equal(failed, seconds(4)) {
			t.Errorf("fed at %v, failed at %v", fed, failed)
		}
	})
}

func TestWithoutALimitNothingIsChecked(t *testing.T) {
	notify.Watchdog{Check: func(context.Context) error {
		t.Error("it was checked")
		return nil
	}}.Run(t.Context())
}
