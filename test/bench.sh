#!/bin/sh
# The benchmarks of docs/benchmarks.md: the machine, its load, and the figures. Run it on a quiet
# machine; BENCHTIME (1s unless set) is for each figure, COUNT (3) how often each is taken.
set -eu
cd "$(dirname "$0")/.."
echo "machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) processors, $(uname -sr)"
echo "load before: $(cat /proc/loadavg)"
go version
VERGE_REQUIRE=onnxruntime,litert,tflite,openvino go test -run '^$' -bench . -benchmem -benchtime "${BENCHTIME:-1s}" -count "${COUNT:-3}" \
	./test/bench ./internal/runtimes/onnxruntime ./internal/worker ./internal/serve ./internal/tensor ./internal/api/httpapi
echo "load after: $(cat /proc/loadavg)"
