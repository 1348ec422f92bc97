#!/bin/sh
# Runs a linux/arm64 test binary on another machine, under QEMU's user-mode emulation.
#
#   test/arm64/run.sh RUNTIMES BINARY [ARGUMENT…]
#   test/arm64/run.sh --check     # says whether it could
#
# RUNTIMES is a runtime directory for linux/arm64, as `verge runtime install onnxruntime
# --platform linux/arm64 -o RUNTIMES` makes it; the binary sees it as VERGE_RUNTIME_DIR.
# BINARY comes from `GOARCH=arm64 CGO_ENABLED=0 go test -c`, and runs in the current
# directory, which for a Go test is its package's. The exit status is the binary's.
#
# Where the emulator, the arm64 libraries or the right to mount is missing, the script says so
# in one line and exits with 0; with 1 if VERGE_REQUIRE (a comma-separated list) has arm64.
#
# Three things differ from a board:
# - ONNX Runtime's look at the processor (the cpuinfo library) crashes on what an x86 machine has
#   in /sys/devices/system/cpu. So that folder is hidden, in a mount namespace of its own, by one
#   that says how many processors there are and no more.
# - The kernel does not start arm64 files, so the emulated process cannot start itself again.
#   Tests put VERGE_TEST_WORKER_PREFIX in front of a worker's command.
# - Memory is allocated from one arena. With one for each thread, how much of the freed memory
#   stays with the process varied by 90 MiB from run to run under emulation, with one by 22 (20
#   runs), which is what a test that looks for leaks of 16 MiB needs.
set -eu

libraries=/usr/aarch64-linux-gnu # where Debian's cross packages put them

skip() {
	case ",${VERGE_REQUIRE:-}," in
	*,arm64,*)
		echo "arm64: $1" >&2
		exit 1
		;;
	esac
	echo "arm64: skipped: $1"
	exit 0
}

need() { # FILE PACKAGE
	[ -e "$1" ] || skip "needs the Debian package $2 ($1 is missing)"
}

check=
if [ "${1:-}" = --check ]; then
	check=yes
elif [ $# -lt 2 ]; then
	echo "usage: ${0##*/} RUNTIMES BINARY [ARGUMENT…]" >&2
	exit 2
fi
emulator=$(command -v qemu-aarch64-static) ||
	skip "needs the Debian package qemu-user-static (qemu-aarch64-static is missing)"
need "$libraries/lib/libc.so.6" libc6-arm64-cross
need "$libraries/lib/libstdc++.so.6" libstdc++6-arm64-cross
need "$libraries/lib/libgcc_s.so.1" libgcc-s1-arm64-cross

namespace="unshare --mount"
[ "$(id -u)" -eq 0 ] || namespace="$namespace --map-root-user"
$namespace true 2>/dev/null || skip "needs a mount namespace: run as root, or allow user namespaces"

if [ "$check" ]; then
	echo "arm64: ready"
	exit 0
fi
runtimes=$(realpath -e -- "$1")
binary=$(realpath -e -- "$2")
shift 2

export QEMU_LD_PREFIX="$libraries"
export VERGE_RUNTIME_DIR="$runtimes"
export MALLOC_ARENA_MAX=1
export VERGE_TEST_WORKER_PREFIX="$emulator -L $libraries"
# shellcheck disable=SC2016 # the inner shell expands
exec $namespace sh -eu -c '
	cd /sys/devices/system/cpu
	possible=$(cat possible) present=$(cat present) online=$(cat online)
	mount -t tmpfs -o size=64k tmpfs /sys/devices/system/cpu
	cd /sys/devices/system/cpu
	echo "$possible" >possible
	echo "$present" >present
	echo "$online" >online
	cd "$1"
	shift
	exec "$@"
' sh "$PWD" "$emulator" "$binary" "$@"
