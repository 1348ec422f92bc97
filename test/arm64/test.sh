#!/bin/sh
# The contract suite and one deployment as linux/arm64, under QEMU's user-mode emulation.
# Needs bin/verge, and what run.sh needs; without that it says so and is skipped (see run.sh).
#
#   test/arm64/test.sh [RUNTIMES]
#
# RUNTIMES is where the arm64 libraries are, or are put: .runtimes/arm64 unless given.
set -eu
cd "$(dirname "$0")/../.."
here=test/arm64
runtimes=${1:-.runtimes/arm64}
binaries=$(mktemp -d "${TMPDIR:-/tmp}/verge-arm64.XXXXXX")
trap 'rm -rf "$binaries"' EXIT

build() { # PACKAGE NAME
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go test -c -o "$binaries/$2" "$1"
}

# Look for the emulator before anything is fetched or built.
"$here/run.sh" --check || exit 1
[ "$("$here/run.sh" --check)" = "arm64: ready" ] || exit 0

bin/verge runtime install onnxruntime litert --platform linux/arm64 -o "$runtimes"
runtimes=$(realpath "$runtimes")

build ./internal/runtimes/onnxruntime onnxruntime.test
build ./internal/runtimes/litert litert.test
build ./test/deployment deployment.test
emulated() { # DIRECTORY BINARY
	(
		root=$PWD
		cd "$1"
		VERGE_REQUIRE=onnxruntime,litert "$root/$here/run.sh" "$runtimes" "$binaries/$2" -test.v=false -test.timeout=10m
	)
}
emulated internal/runtimes/onnxruntime onnxruntime.test
emulated internal/runtimes/litert litert.test
emulated test/deployment deployment.test
