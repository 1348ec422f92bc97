"""Writes an ONNX file of the examples in two more formats and compares the three.

    python3 -m venv .venv && .venv/bin/pip install -r requirements.txt -r requirements-export.txt
    .venv/bin/python export.py [MODEL.onnx]

MODEL.onnx, by default digits.onnx, stays as it is: MODEL.tflite, MODEL.xml and MODEL.bin get its
weights, all in FP32, and its input and output. heldout.npz beside it has what the three are
asked. Each library gives the same bytes each time.
"""

import os

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before the libraries count the CPUs

import sys  # noqa: E402

sys.modules["openvino_telemetry"] = None  # a conversion reports itself to its makers otherwise

from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import openvino  # noqa: E402
from ai_edge_litert.interpreter import Interpreter  # noqa: E402

import litert  # noqa: E402

HERE = Path(__file__).resolve().parent
TOLERANCE = 1e-5  # between the probabilities of two formats


def export(path):
    """Writes the .tflite, the .xml and the .bin beside the .onnx at path."""
    path.with_suffix(".tflite").write_bytes(litert.from_onnx(path))
    model = openvino.convert_model(path)
    openvino.save_model(model, path.with_suffix(".xml"), compress_to_fp16=False)


def answers_onnx(path, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"image": x})[0]


def answers_tflite(path, x):
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], x.shape)
    return interpreter.get_signature_runner("serving_default")(image=x)["probabilities"]


def answers_openvino(path, x):
    """INFERENCE_PRECISION_HINT: without it, a processor with BF16 computes in that."""
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    return openvino.compile_model(path, "CPU", options)({"image": x})["probabilities"]


def check(path):
    """Prints how the formats do on the held-out pictures, and ends where they do not agree."""
    with np.load(path.with_name("heldout.npz")) as held_out:
        images, labels = held_out["images"], held_out["labels"]
    x = (images / np.float32(images.max()))[:, None]  # 0 to 1
    want = answers_onnx(path, x)
    formats = {".onnx": answers_onnx, ".tflite": answers_tflite, ".xml": answers_openvino}
    for suffix, answers in formats.items():
        file = path.with_suffix(suffix)
        size = file.stat().st_size
        if suffix == ".xml":
            size += file.with_suffix(".bin").stat().st_size
        got = answers(file, x)
        right = int((got.argmax(axis=1) == labels).sum())
        other = int((got.argmax(axis=1) != want.argmax(axis=1)).sum())
        apart = np.abs(got - want).max()
        print(
            f"{file.name:13} {size:8} bytes  {right}/{len(labels)} right  "
            f"other class than {path.name}: {other}  apart by at most {apart:.1e}"
        )
        if other or apart > TOLERANCE:
            raise SystemExit(f"{file.name} does not agree with {path.name} within {TOLERANCE:.0e}")


if __name__ == "__main__":
    model = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else HERE / "digits.onnx"
    export(model)
    check(model)
