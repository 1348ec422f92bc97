#!/usr/bin/env bash
# Asks a node with Triton's own HTTP clients, and compares its answers with ONNX
# Runtime's in Python. Needs python3 with venv, and pip; takes about a minute.
set -euo pipefail
cd "$(dirname "$0")/../.."
dir=$(mktemp -d)
node=
trap 'if [ -n "$node" ]; then kill "$node" && wait "$node" || true; fi; rm -rf "$dir"' EXIT

python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --requirement test/clients/requirements.txt

port=$("$dir/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
bin/verge serve --state-dir "$dir/state" --unix-socket "$dir/s" --http-address "127.0.0.1:$port" 2>"$dir/log" &
node=$!
for _ in $(seq 100); do
	[ -S "$dir/s" ] && break
	sleep 0.1
done
bin/verge deploy --node "unix:$dir/s" examples/digits/deployment-extended.yaml
"$dir/venv/bin/python" test/clients/check.py "127.0.0.1:$port"
