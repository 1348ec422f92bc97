package litert_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/runtimes/litert"
)

// redirect lets the standard error of the process go into a pipe until the end of the
// test, and returns what reads its lines.
func redirect(t *testing.T) *bufio.Scanner {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	old, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Dup3(int(w.Fd()), 2, 0); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() {
		unix.Dup3(old, 2, 0)
		unix.Close(old)
		r.Close()
	})
	return bufio.NewScanner(r)
}

func TestLoadsThatFailAtTheSameTimeEachSayWhy(t *testing.T) {
	rt := open(t)
	stderr := redirect(t)
	const last = "afterwards the standard error is what it was"
	passed := make(chan int)
	go func() {
		n := 0
		for stderr.Scan() && stderr.Text() != last {
			if strings.Contains(stderr.Text(), "Didn't find op") {
				n++
			}
		}
		passed <- n
	}()
	const at, each = 4, 10
	var loads sync.WaitGroup
	for range at {
		loads.Go(func() {
			for range each {
				_, err := rt.Load(t.Context(), inference.Model{Name: "m@1", Data: future(), FD: -1}, inference.Options{})
				check(t, err, fault.Unsupported, futureReason, "")
			}
		})
	}
	loads.Wait()
	fmt.Fprintln(os.Stderr, last)
	if n := <-passed; n != at*each {
		t.Errorf("%d reasons were passed on, want %d", n, at*each)
	}
}

func TestListenPassesOnWhatOthersWrite(t *testing.T) {
	stderr := redirect(t)
	const writers, each = 4, 1000
	passed := make(chan int)
	go func() {
		n := 0
		for n < writers*each && stderr.Scan() && stderr.Text() == "a line of others" {
			n++
		}
		passed <- n
	}()
	said, ok := litert.Listen(func() {
		var others sync.WaitGroup
		for range writers {
			others.Go(func() {
				for range each {
					unix.Write(2, []byte("a line of others\n")) // not os.Stderr, which lets one write after the other
				}
			})
		}
		others.Wait()
	})
	if !ok || said != strings.Repeat("a line of others\n", writers*each) && len(said) != 64<<10 {
		t.Errorf("Listen = %d bytes, %v", len(said), ok)
	}
	if n := <-passed; n != writers*each {
		t.Errorf("%d lines were passed on, want %d", n, writers*each)
	}
}

func TestListenDoesNotWaitForOthersThatHaveTheStandardError(t *testing.T) {
	lines := redirect(t)
	other := -1
	said, ok := litert.Listen(func() {
		other, _ = unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3) // as a child has it that began meanwhile
		fmt.Fprintln(os.Stderr, "ERROR: it broke")
	})
	defer unix.Close(other)
	if !ok || said != "ERROR: it broke\n" {
		t.Errorf("Listen = %q, %v; want what was written", said, ok)
	}
	if !lines.Scan() || lines.Text() != "ERROR: it broke" {
		t.Errorf("passed on: %q", lines.Text())
	}
}

func TestListenKeepsTheLastOfMuch(t *testing.T) {
	const total = 40000 // more than a pipe holds
	lines := redirect(t)
	passed := make(chan int)
	go func() {
		n := 0
		for n < total && lines.Scan() {
			n++
		}
		passed <- n
	}()
	said, ok := litert.Listen(func() {
		for i := range total {
			fmt.Fprintf(os.Stderr, "line %d\n", i)
		}
	})
	if !ok || len(said) != 64<<10 || !strings.HasSuffix(said, fmt.Sprintf("line %d\n", total-1)) {
		t.Errorf("Listen = %d bytes, %v; want the last 65536", len(said), ok)
	}
	if n := <-passed; n != total {
		t.Errorf("%d lines were passed on, want %d", n, total)
	}
}

// crashes is the variable that makes a child of the test die while it listens.
const crashes = "VERGE_TEST_CRASHES"

func TestWhatAProcessSaysWhenItDiesIsPassedOn(t *testing.T) {
	if os.Getenv(crashes) != "" {
		litert.Listen(func() {
			fmt.Fprintln(os.Stderr, "terminate called")
			<-time.After(100 * time.Millisecond) // it is passed on at once, but by another thread
			unix.Kill(os.Getpid(), unix.SIGABRT)
			<-t.Context().Done() // the signal comes before
		})
	}
	if os.Getenv("VERGE_TEST_WORKER_PREFIX") != "" {
		t.Skip("a process that is emulated cannot start itself")
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWhatAProcessSays")
	child.Env = append(os.Environ(), crashes+"=1")
	var said bytes.Buffer
	child.Stderr = &said
	if err := child.Run(); err == nil {
		t.Fatal("the child did not die")
	}
	for _, want := range []string{"terminate called\n", "SIGABRT: abort", "goroutine "} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("no %q in what it said: %q", want, said.String())
		}
	}
}

func TestMessagesAreOfTheLibraryAlone(t *testing.T) {
	said := "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n" +
		"ERROR: it broke\ntime=now level=ERROR msg=\"a secret\"\nINFO: [a.cc:1] why\nsee below\nWARNING: beware\n"
	if got, want := litert.Messages(said), []string{"it broke\n", "[a.cc:1] why\n", "beware\n"}; !slices.Equal(got, want) {
		t.Errorf("Messages = %q, want %q", got, want)
	}
}
