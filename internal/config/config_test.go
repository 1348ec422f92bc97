package config_test

import (
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"verge/internal/config"
	"verge/internal/fault"
)

var update = flag.Bool("update", false, "rewrite the expected messages and packaging/verge.yaml")

// home is an environment in which every user finds a state directory.
func home(more ...string) []string {
	return append([]string{"HOME=/home/me", "XDG_RUNTIME_DIR=/run/user/7"}, more...)
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func files(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(paths) == 0 {
		t.Fatal("no file matches", pattern, err)
	}
	return paths
}

func TestBadFilesAreRefusedWithEveryProblem(t *testing.T) {
	for _, path := range files(t, "*.bad.yaml") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			_, err := config.Load(path, home(), nil)
			if err == nil || fault.KindOf(err) != fault.Invalid {
				t.Fatalf("error = %v, want kind %v", err, fault.Invalid)
			}
			golden(t, path+".message", []byte(fault.Message(err)+"\nhint: "+fault.HintOf(err)+"\n"))
		})
	}
}

func TestGoodFilesAreRead(t *testing.T) {
	for _, path := range files(t, "*.good.yaml") {
		got, err := config.Load(path, home(), nil)
		if err != nil {
			t.Fatal(err)
		}
		want := config.Default()
		want.StateDir, want.UnixSocket = got.StateDir, got.UnixSocket
		if filepath.Base(path) == "some.good.yaml" {
			if want.StateDir, err = filepath.Abs("relative/state"); err != nil {
				t.Fatal(err)
			}
			want.HTTPAddress, want.LogLevel = "[::1]:0", "warning"
			want.Worker.MaxDeaths, want.Worker.RestartDelay = 3, time.Second
			want.Health.TemperatureCelsius = 82.5
			want.Limits.ArtifactsBytes = 1 << 40
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func TestTheShippedFileDocumentsEveryDefault(t *testing.T) {
	const path = "../../packaging/verge.yaml"
	golden(t, path, config.Default().Show())
	got, err := config.Load(path, home(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := config.Load("", home(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the shipped file is not the default (-want +got):\n%s", diff)
	}
}

func TestWhatIsShownIsReadBackAsItWas(t *testing.T) {
	want := config.Default()
	want.StateDir, want.UnixSocket, want.RuntimeDir = `/a "b"/ü`, "/s\t", "/r"
	want.Serve.MaxTimeout, want.Worker.StopGrace = 90*time.Minute, 1500*time.Millisecond
	want.Health.TemperatureCelsius = 71.25
	path := filepath.Join(t.TempDir(), "verge.yaml")
	if err := os.WriteFile(path, want.Show(), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(path, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFlagsWinOverEnvironmentOverFileOverDefault(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verge.yaml")
	text := "serve: {queue_size: 1, slots_per_thread: 1, default_timeout: 1s}\nlog_level: nonsense\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := home("VERGE_SERVE__QUEUE_SIZE=2", "VERGE_SERVE__SLOTS_PER_THREAD=2", "VERGE_LOG_LEVEL=debug",
		"VERGE_REQUIRE=onnxruntime", "VERGE_TEST_WORKER_PREFIX=x", "VERGE_CONFIG=/x", "VERGER=1")
	got, err := config.Load(path, environ, map[string]string{"serve.queue_size": "3"})
	if err != nil {
		t.Fatal(err)
	}
	s := got.Serve
	if s.QueueSize != 3 || s.SlotsPerThread != 2 || s.DefaultTimeout != time.Second || s.MaxTimeout != 5*time.Minute || got.Level() != slog.LevelDebug {
		t.Errorf("Load = %+v, log level %v", s, got.Level())
	}
}

func TestProblemsNameTheVariableOrFlagThatTheyComeFrom(t *testing.T) {
	_, err := config.Load("", home("VERGE_SERVE__QUEUE_SIZ=1", "VERGE_SERVE__MAX_TIMEOUT=48h", "VERGE_LOG_FORMAT=xml"),
		map[string]string{"http_adress": "x", "http_address": "192.168.1.5:8000", "serve.queue_size": "many"})
	const want = `log_format: is "xml", want text or json (from VERGE_LOG_FORMAT)
unknown variable "VERGE_SERVE__QUEUE_SIZ"; did you mean VERGE_SERVE__QUEUE_SIZE?
unknown setting "http_adress"; did you mean http_address?
serve.queue_size: is "many", want a whole number (from --set serve.queue_size)
http_address: is "192.168.1.5:8000", want a loopback address: this version serves its own machine only (from --http-address)
serve.max_timeout: is 48h0m0s, want 1ms to 24h0m0s (from VERGE_SERVE__MAX_TIMEOUT)`
	if got := fault.Message(err); got != want {
		t.Errorf("error:\n%s\nwant:\n%s", got, want)
	}
	if got, want := fault.HintOf(err), `Set http_address to an address such as "127.0.0.1:8000".`; got != want {
		t.Errorf("hint = %q, want %q", got, want)
	}
}

func TestOnlyLoopbackAddressesAreServed(t *testing.T) {
	for address, ok := range map[string]bool{
		"": true, "127.0.0.1:8000": true, "localhost:0": true, "[::1]:65535": true, "127.8.8.8:1": true, "[::ffff:127.0.0.1]:1": true,
		":8000": false, "0.0.0.0:8000": false, "[::]:1": false, "10.0.0.1:1": false, "127.0.0.1:65536": false, "127.0.0.1:http": false,
		"127.0.0.1:-1": false, "127.0.0.1:08": false, "127.0.0.1": false, "localhost.evil:1": false,
	} {
		c := config.Default()
		c.HTTPAddress = address
		if err := c.Validate(); (err == nil) != ok {
			t.Errorf("%q: %v, want ok %v", address, err, ok)
		}
	}
}

func TestPathsFollowUserAndEnvironment(t *testing.T) {
	for name, test := range map[string]struct {
		uid     int
		environ []string
		given   config.Config
		state   string
		socket  string
		wantErr string
	}{
		"the service":                  {uid: 7, environ: []string{"XDG_STATE_HOME=/var/lib", "XDG_RUNTIME_DIR=/run/verge"}, state: "/var/lib/verge", socket: "/run/verge/verge.sock"},
		"root":                         {environ: home("XDG_STATE_HOME=/s"), state: "/var/lib/verge", socket: "/run/verge/verge.sock"},
		"a user":                       {uid: 7, environ: home(), state: "/home/me/.local/state/verge", socket: "/run/user/7/verge.sock"},
		"a user with XDG_STATE_HOME":   {uid: 7, environ: home("XDG_STATE_HOME=/s"), state: "/s/verge", socket: "/run/user/7/verge.sock"},
		"a relative XDG directory":     {uid: 7, environ: []string{"HOME=/h", "XDG_STATE_HOME=s", "XDG_RUNTIME_DIR="}, state: "/h/.local/state/verge", socket: "/h/.local/state/verge/verge.sock"},
		"a given directory":            {uid: 7, given: config.Config{StateDir: "/d/../e"}, state: "/e", socket: "/d/../e/verge.sock"},
		"given paths":                  {given: config.Config{StateDir: "/d", UnixSocket: "/x"}, state: "/d", socket: "/x"},
		"a user without a home at all": {uid: 7, wantErr: "state_dir: is not set, and neither XDG_STATE_HOME nor HOME names an absolute path"},
	} {
		t.Run(name, func(t *testing.T) {
			c := test.given
			err := c.Locate(test.uid, test.environ)
			if got := fault.Message(err); got != test.wantErr {
				t.Fatalf("error = %q, want %q", got, test.wantErr)
			}
			if err == nil && (c.StateDir != test.state || c.UnixSocket != filepath.Clean(test.socket)) {
				t.Errorf("state %s, socket %s; want %s, %s", c.StateDir, c.UnixSocket, test.state, filepath.Clean(test.socket))
			}
		})
	}
}

func TestCommandsFindTheServiceWhereTheUserHasNoNode(t *testing.T) {
	const own, service = "/run/user/7/verge.sock", "/run/verge/verge.sock"
	environ := home()
	for name, test := range map[string]struct {
		given  config.Config
		exists []string
		want   string
	}{
		"the user's node":                {exists: []string{own, service}, want: own},
		"only the service":               {exists: []string{service}, want: service},
		"no node at all":                 {want: own},
		"a socket that was asked for":    {given: config.Config{UnixSocket: "/x"}, exists: []string{service}, want: "/x"},
		"a state that was asked for":     {given: config.Config{StateDir: "/d"}, exists: []string{service}, want: own},
		"the default, asked for by name": {given: config.Config{UnixSocket: own}, exists: []string{service}, want: service},
	} {
		t.Run(name, func(t *testing.T) {
			c := test.given
			if err := c.Locate(7, environ); err != nil {
				t.Fatal(err)
			}
			got := c.NodeSocket(7, environ, func(path string) bool { return slices.Contains(test.exists, path) })
			if got != test.want {
				t.Errorf("NodeSocket = %s, want %s", got, test.want)
			}
		})
	}
}

func TestAFileThatIsNotThereIsNotPassedOver(t *testing.T) {
	_, err := config.Load("/nowhere/verge.yaml", home(), nil)
	if fault.KindOf(err) != fault.NotFound {
		t.Errorf("kind = %v, want %v", fault.KindOf(err), fault.NotFound)
	}
	if got, want := fault.Message(err), "read the settings: open /nowhere/verge.yaml: no such file or directory"; got != want {
		t.Errorf("error = %q, want %q", got, want)
	}
	if got, want := fault.HintOf(err), "Name a file of settings with --config."; got != want {
		t.Errorf("hint = %q, want %q", got, want)
	}
	if _, err := config.Load(t.TempDir(), home(), nil); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a directory: %v", err)
	}
}

func TestLevelsAreThoseOfSlog(t *testing.T) {
	for name, want := range map[string]slog.Level{"debug": -4, "info": 0, "warning": 4, "error": 8} {
		if got := (config.Config{LogLevel: name}).Level(); got != want {
			t.Errorf("Level of %s = %d, want %d", name, got, want)
		}
	}
}
