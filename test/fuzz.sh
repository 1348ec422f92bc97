#!/bin/sh
# Runs every fuzz target for FUZZTIME (5s unless set), one after the other, and prints how much of
# its package the target's seeds reach.
#
#   FUZZTIME=10m test/fuzz.sh [PACKAGE…]
set -eu
cd "$(dirname "$0")/.."
fuzztime=${FUZZTIME:-5s}
[ $# -gt 0 ] || set -- ./...

targets=0
for package in $(go list "$@"); do
	directory=$(go list -f '{{.Dir}}' "$package")
	names=$(cat "$directory"/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p')
	[ -n "$names" ] || continue
	go test -run='^Fuzz' -cover "$package"
	for name in $names; do
		targets=$((targets + 1))
		# The cache of found inputs stays outside the tree; a failing one is written to testdata.
		go test -run='^$' -fuzz="^$name\$" -fuzztime="$fuzztime" -parallel=2 "$package"
	done
done
[ "$targets" -gt 0 ] || {
	echo "fuzz: no target found" >&2
	exit 1
}
echo "fuzz: $targets targets, $fuzztime each"
