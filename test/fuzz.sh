#!/bin/sh
# Runs every fuzz target for FUZZTIME (5s unless set), one after the other, and prints how much of
# its package the target's seeds reach.
#
#   FUZZTIME=10m test/fuzz.sh [PACKAGE…]
set -eu
cd "$(dirname "$0")/.."
fuzztime=${FUZZTIME:-5s}
[ $# -gt 0 ] || set -- ./...

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# The cache of found inputs stays outside the tree; a failing one is written to testdata. Making
# an interesting input smaller may take all of a short run, so that little time goes into it. A
# run that ends in that work says "context deadline exceeded" and names no input: it has failed
# at nothing, and is done again, once.
fuzz() {
	if go test -run='^$' -fuzz="^$2\$" -fuzztime="$fuzztime" -fuzzminimizetime=10x -parallel=2 "$1" >"$log" 2>&1; then
		cat "$log"
		return 0
	fi
	cat "$log"
	if [ $# -eq 2 ] && grep -q '^    context deadline exceeded$' "$log" && ! grep -q 'Failing input written' "$log"; then
		return 1
	fi
	exit 1
}

targets=0
for package in $(go list "$@"); do
	directory=$(go list -f '{{.Dir}}' "$package")
	names=$(cat "$directory"/*_test.go 2>/dev/null | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p')
	[ -n "$names" ] || continue
	go test -run='^Fuzz' -cover "$package"
	for name in $names; do
		targets=$((targets + 1))
		fuzz "$package" "$name" || fuzz "$package" "$name" again
	done
done
[ "$targets" -gt 0 ] || {
	echo "fuzz: no target found" >&2
	exit 1
}
echo "fuzz: $targets targets, $fuzztime each"
