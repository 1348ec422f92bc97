#!/bin/sh
# Takes the digits model from its files to answers, in a node of its own that leaves nothing behind:
# starts the node, and for each of three formats deploys, asks about held-out handwritten digits,
# shows the status; then stops. Needs bin/verge and the libraries; `make demo` brings both.
set -eu
here=$(dirname "$0")
verge=${VERGE:-$here/../../bin/verge}

state=$(mktemp -d "${TMPDIR:-/tmp}/verge-demo.XXXXXX")
export VERGE_STATE_DIR="$state"
export VERGE_UNIX_SOCKET="$state/verge.sock"
export VERGE_HTTP_ADDRESS="127.0.0.1:0" # any free port: the demo must not meet another node
: "${VERGE_RUNTIME_DIR:=$here/../../.runtimes}"
export VERGE_RUNTIME_DIR

say() { printf '\n$ verge %s\n' "$*"; }
run() {
	say "$@"
	"$verge" "$@"
}

node=
stop() {
	if [ -n "$node" ]; then
		kill -TERM "$node" 2>/dev/null || true
		wait "$node" || true
		node=
	fi
	rm -rf "$state"
}
trap stop EXIT
trap 'exit 130' INT TERM

say serve '&'
"$verge" serve 2>"$state/log" &
node=$!
tries=0
until "$verge" status >/dev/null 2>&1; do
	tries=$((tries + 1))
	if [ "$tries" -gt 100 ] || ! kill -0 "$node" 2>/dev/null; then
		cat "$state/log" >&2
		exit 1
	fi
	sleep 0.1
done

# ask MODEL asks about every picture, and fails where too few are read right.
ask() {
	say predict "$1" samples/NN.png
	right=0 asked=0
	for picture in "$here"/samples/*.png; do
		number=$(basename "$picture" .png)
		digit=$((${number#0} % 10))
		# Sample NN shows the digit NN modulo 10; classes are numbered by their digit.
		got=$("$verge" predict "$1" "$picture" --json | sed -n 's/.*"top":\[{"index":\([0-9]*\).*/\1/p')
		asked=$((asked + 1))
		if [ "$got" = "$digit" ]; then right=$((right + 1)); fi
	done
	echo "$right of $asked held-out handwritten digits were read right"
	# Fewer than 17 of 20 would mean that answers are wrong, not that the model errs: it reads 19.
	[ "$right" -ge 17 ]
}

for format in onnx tflite openvino; do
	case $format in
	onnx) file=digits.onnx deployment=deployment.json model=digits ;;
	tflite) file=digits.tflite deployment=digits-tflite.json model=digits-tflite ;;
	openvino) file=digits.xml deployment=digits-openvino.json model=digits-openvino ;;
	esac
	run inspect "$here/$file"
	run deploy "$here/$deployment"
	ask "$model"
	run predict "$model" "$here/samples/07.png"
	run status "$model"
	run undeploy "$model"
done

say '(SIGTERM to the node)'
kill -TERM "$node"
wait "$node"
node=
echo "the node stopped cleanly"
