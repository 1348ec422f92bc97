"""Trains the network and writes it as ONNX; README.md says what else it writes.

    python3 -m venv .venv && .venv/bin/pip install -r requirements.txt
    .venv/bin/python build.py

It takes 7 minutes and 3 GB of memory, and needs Linux, Python 3.11 or newer, and no network.
../digits/export.py makes the other two formats.

The pictures are those of ../digits, and as there one CPU and one seed give the same bits on the
same kind of CPU only: what tests check is the accuracy of the committed files, never their hash.
"""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before NumPy and JAX count the CPUs

import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import onnx  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "digits"))

import residuals  # noqa: E402
import train as digits  # noqa: E402

EPOCHS = 10
LEAST_ACCURACY = 0.98  # of mid.onnx on the held-out pictures


def enlarged(images):
    """Turns uint8 [n,8,8], 0 to 16, into uint8 [n,32,32], 0 to 255.

    Bilinear, with pixels as squares: the centre of pixel i lies at i + 1/2, and beyond the
    outermost centres the picture goes on as it is there.
    """
    source = np.clip((np.arange(residuals.SIDE) + 0.5) / 4 - 0.5, 0, 7)
    shares = np.maximum(1 - np.abs(source[:, None] - np.arange(8)), 0)
    return np.round(shares @ (images * (255 / 16)) @ shares.T).astype(np.uint8)


def as_input(images):
    """Turns uint8 [n,32,32], 0 to 255, into the network's float32 [n,1,32,32], 0 to 1."""
    return (images.astype(np.float32) / 255)[:, None]


def save_onnx(path, weights):
    """Writes the network as ONNX: image [N,1,32,32] in, probabilities [N,10] out."""
    tensors = {"zero": np.float32(0), "six": np.float32(6)}
    nodes = []

    def node(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    x, block = "image", ""
    for layer in residuals.LAYERS:
        block = x if layer.opens else block
        name, w = layer.name, weights[layer.name + ".weight"]
        tensors[name + ".bias"] = weights[name + ".bias"]
        if layer.filters:
            w = w.transpose(2, 0, 1)[:, None]
            pads = [1, 1, 1, 1] if layer.stride == 1 else [0, 0, 1, 1]
            attributes = {"group": layer.inputs, "strides": [layer.stride] * 2, "pads": pads}
        else:
            w, attributes = w.T[:, :, None, None], {}
        tensors[name + ".weight"] = np.ascontiguousarray(w)
        x = node("Conv", [x, name + ".weight", name + ".bias"], name, **attributes)
        if layer.relu6:
            x = node("Clip", [x, "zero", "six"], name + ".relu6")
        if layer.adds:
            x = node("Add", [x, block], name + ".add")
    tensors["fc.weight"], tensors["fc.bias"] = weights["fc.weight"].T.copy(), weights["fc.bias"]
    y = node("Flatten", [node("GlobalAveragePool", [x], "mean")], "features")
    y = node("Gemm", [y, "fc.weight", "fc.bias"], "logits", transB=1)
    node("Softmax", [y], "probabilities", axis=1)
    side = residuals.SIDE
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, side, side])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", residuals.CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(
        graph, producer_name="verge-mid", ir_version=8, opset_imports=[helper.make_opsetid("", 17)]
    )
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def main():
    (images, labels), (held_images, held_labels) = digits.load()
    held_images = enlarged(held_images)
    np.savez_compressed(HERE / "heldout.npz", images=held_images, labels=held_labels)
    x = as_input(enlarged(images)).transpose(0, 2, 3, 1)
    path = HERE / "mid.onnx"
    save_onnx(path, residuals.train(x, labels, EPOCHS))

    answers = digits.session(path).run(None, {"image": as_input(held_images)})[0]
    right = int((answers.argmax(axis=1) == held_labels).sum())
    print(f"mid.onnx reads {right} of {len(held_labels)} held-out pictures right")
    if right < LEAST_ACCURACY * len(held_labels):
        raise SystemExit(f"mid.onnx is below {LEAST_ACCURACY:.0%}: look at the training")
    np.savez_compressed(
        HERE / "golden.npz",
        image=as_input(held_images[: digits.GOLDEN]),
        probabilities=answers[: digits.GOLDEN],
    )


if __name__ == "__main__":
    main()
