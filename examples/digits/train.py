"""Makes the generated files of this folder but those of export.py; README.md says what they are.

    python3 -m venv .venv && .venv/bin/pip install -r requirements.txt
    .venv/bin/python train.py

It takes half a minute and needs Linux, Python 3.11 or newer, and no network.

The network is trained in plain NumPy: for 24,000 weights and 1,437 pictures, a training
framework would double the size of the requirements and save a hundred lines.

One CPU and one seed: the order in which floats are added depends on the number of threads.
The same bits still need the same kind of CPU, so what tests check is the accuracy that the
committed files reach, never their hash.
"""

import os

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before NumPy counts the CPUs

import struct  # noqa: E402
import time  # noqa: E402
import zlib  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.model_selection import train_test_split  # noqa: E402

import network  # noqa: E402

HERE = Path(__file__).resolve().parent
CLASSES = "zero one two three four five six seven eight nine".split()
HELD_OUT = 360  # of 1,797 pictures
SAMPLES = 20  # the first held-out pictures, also as .png
GOLDEN = 10  # the first held-out pictures, also as cases with known answers
GOOD_STEPS = 40 * 22  # 40 epochs of whole batches
BAD_STEPS = 13
SLOW_BLOCKS = 400
SLOW_KERNEL = 7  # rows and columns of their convolutions
LEAST_ACCURACY = 0.98  # of digits.onnx on the held-out pictures


def load():
    """Returns (images, labels) to train with and (images, labels) held out.

    Images are uint8 [n,8,8], 0 to 16. The held-out ones begin with zero to nine, twice, so
    that sample NN shows the digit NN modulo 10.
    """
    digits = load_digits()
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    train, held_out = train_test_split(
        np.arange(len(labels)), test_size=HELD_OUT, random_state=network.SEED, stratify=labels
    )
    of_class = [held_out[labels[held_out] == c] for c in range(10)]
    first = np.array([of_class[i % 10][i // 10] for i in range(SAMPLES)])
    held_out = np.concatenate([first, held_out[~np.isin(held_out, first)]])
    return (images[train], labels[train]), (images[held_out], labels[held_out])


def as_input(images):
    """Turns uint8 [n,8,8], 0 to 16, into the network's float32 [n,1,8,8], 0 to 1."""
    return (images.astype(np.float32) / 16)[:, None]


def save_onnx(path, weights, slow_blocks=0):
    """Writes the network as ONNX: image [N,1,8,8] in, probabilities [N,10] out.

    slow_blocks adds as many residual blocks y = relu(y + conv(y)) whose shared weight is zero.
    As y comes out of a ReLU, each gives back y to the last bit, and the answers stay the same.
    The multiplications are done all the same: an inference library folds what is constant and
    fuses what is adjacent, but does not look for zeros in the weights of a convolution.
    """
    tensors = dict(weights)
    nodes = []

    def node(kind, inputs, output, **attributes):
        nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def conv_relu(x, name):
        y = node("Conv", [x, name + ".weight", name + ".bias"], name, pads=[1, 1, 1, 1])
        return node("Relu", [y], name + ".relu")

    y = conv_relu(conv_relu("image", "conv1"), "conv2")
    if slow_blocks:
        tensors["idle.weight"] = np.zeros((32, 32, SLOW_KERNEL, SLOW_KERNEL), np.float32)
    for i in range(slow_blocks):
        idle = node("Conv", [y, "idle.weight"], f"idle{i}", pads=[SLOW_KERNEL // 2] * 4)
        y = node("Relu", [node("Add", [y, idle], f"idle{i}.add")], f"idle{i}.relu")
    y = node("MaxPool", [y], "pool", kernel_shape=[2, 2], strides=[2, 2])
    y = node("Flatten", [node("GlobalAveragePool", [conv_relu(y, "conv3")], "mean")], "features")
    y = node("Gemm", [y, "fc.weight", "fc.bias"], "logits", transB=1)
    node("Softmax", [y], "probabilities", axis=1)
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(
        graph, producer_name="verge-digits", ir_version=8, opset_imports=[helper.make_opsetid("", 17)]
    )
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def save_png(path, pixels):
    """Writes uint8 [rows,columns] as an 8-bit grey PNG."""
    rows, columns = pixels.shape
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels), 9)),
        (b"IEND", b""),
    ]
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in chunks:
            checksum = zlib.crc32(kind + data)
            f.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum))


def save_data(images, labels):
    """Writes the held-out set, the first of it as pictures, and the class names."""
    np.savez_compressed(HERE / "heldout.npz", images=images, labels=labels)
    inputs = (images.astype(np.float32) / 16)[:, None]
    np.savez_compressed(HERE / "accuracy.npz", image=inputs, labels=labels)
    folder = HERE / "samples"
    folder.mkdir(exist_ok=True)
    for i in range(SAMPLES):
        save_png(folder / f"{i:02}.png", np.round(images[i] * (255 / 16)).astype(np.uint8))
    (HERE / "labels.txt").write_text("\n".join(CLASSES) + "\n")


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def report(path, images, labels):
    """Prints a file's size, held-out accuracy and latency; returns its answers."""
    s, x = session(path), as_input(images)
    answers = s.run(None, {"image": x})[0]
    right = int((answers.argmax(axis=1) == labels).sum())
    times = []
    for _ in range(50):
        start = time.perf_counter()
        s.run(None, {"image": x[:1]})
        times.append((time.perf_counter() - start) * 1e3)
    print(
        f"{path.name:16} {path.stat().st_size:7} bytes  {right}/{len(labels)} right "
        f"({100 * right / len(labels):.2f} %)  {np.median(times):.3f} ms"
    )
    return answers


def main():
    (images, labels), (held_images, held_labels) = load()
    save_data(held_images, held_labels)
    good = network.train(as_input(images), labels, GOOD_STEPS)
    save_onnx(HERE / "digits.onnx", good)
    save_onnx(HERE / "digits-slow.onnx", good, SLOW_BLOCKS)
    save_onnx(HERE / "digits-bad.onnx", network.train(as_input(images), labels, BAD_STEPS))

    answers = report(HERE / "digits.onnx", held_images, held_labels)
    report(HERE / "digits-bad.onnx", held_images, held_labels)
    slow = report(HERE / "digits-slow.onnx", held_images, held_labels)
    print(f"digits-slow.onnx differs from digits.onnx by at most {np.abs(slow - answers).max():.1e}")
    if (answers.argmax(axis=1) == held_labels).mean() < LEAST_ACCURACY:
        raise SystemExit(f"digits.onnx is below {LEAST_ACCURACY:.0%}: look at the training")
    np.savez_compressed(
        HERE / "golden.npz", image=as_input(held_images[:GOLDEN]), probabilities=answers[:GOLDEN]
    )


if __name__ == "__main__":
    main()
