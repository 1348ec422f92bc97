"""The network of the mid example and its training, in JAX.

Inverted residuals as in MobileNetV2 (arXiv:1801.04381): a 3x3 convolution, ten blocks that each
widen with 1x1, filter every channel with 3x3 and narrow with 1x1 again, a 1x1 convolution, the
mean over the picture and one dense layer. Each convolution is followed by batch normalisation
while it is trained; afterwards the normalisation is folded into its weights, as in deployed
networks.

Pictures are [n, rows, columns, channels]; weights [3, 3, channels] where each channel has its own
filter, [in, out] for 1x1 and dense.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

SIDE = 32  # rows and columns of a picture
CLASSES = 10
SEED = 42
BATCH = 64
LEARNING_RATE = 2e-3
SHIFT = 4  # pixels each way, one pixel of the data


class Layer(NamedTuple):
    """One convolution and what comes after it."""

    name: str
    filters: bool  # 3x3 for each channel; else 1x1
    inputs: int  # channels
    outputs: int  # channels
    stride: int = 1
    relu6: bool = True
    opens: bool = False  # the first of a block
    adds: bool = False  # adds the block's input to its output


def network():
    """Returns the convolutions in order: 32 of them, ten that filter each channel."""
    # Widening, channels, blocks, the first of which halves the picture.
    stages = ((3, 48, 3), (4, 96, 4), (4, 192, 3))
    layers, inputs = [Layer("stem", True, 1, 24)], 24
    for number, (widening, outputs, blocks) in enumerate(stages, 1):
        for block in range(1, blocks + 1):
            name, wide = f"block{number}.{block}", widening * inputs
            layers += [
                Layer(name + ".widen", False, inputs, wide, opens=True),
                Layer(name + ".filter", True, wide, wide, stride=2 if block == 1 else 1),
                Layer(name + ".narrow", False, wide, outputs, relu6=False, adds=block > 1),
            ]
            inputs = outputs
    return layers + [Layer("head", False, inputs, 384)]


LAYERS = network()


def initial_weights(rng):
    """He initialisation: keeps the variance through ReLU layers."""
    weights = {}
    for layer in LAYERS:
        shape = (3, 3, layer.outputs) if layer.filters else (layer.inputs, layer.outputs)
        deviation = np.sqrt(2 / (9 if layer.filters else layer.inputs))
        weights[layer.name + ".weight"] = rng.normal(0, deviation, shape).astype(np.float32)
        weights[layer.name + ".gain"] = np.ones(layer.outputs, np.float32)
        weights[layer.name + ".bias"] = np.zeros(layer.outputs, np.float32)
    features = LAYERS[-1].outputs
    weights["fc.weight"] = rng.normal(0, np.sqrt(1 / features), (features, CLASSES)).astype(np.float32)
    weights["fc.bias"] = np.zeros(CLASSES, np.float32)
    return weights


def convolve(layer, x, w):
    """A 3x3 filter is nine shifted products, which XLA fuses into one loop; 1x1 is a matrix product."""
    if not layer.filters:
        return x @ w
    before = 1 if layer.stride == 1 else 0  # a halving pads below and at the right only
    x = jnp.pad(x, ((0, 0), (before, 1), (before, 1), (0, 0)))
    end = x.shape[1] - 2
    step = layer.stride
    return sum(x[:, r : r + end : step, c : c + end : step] * w[r, c] for r in range(3) for c in range(3))


def statistics(y):
    return y.mean(axis=(0, 1, 2)), 1 / jnp.sqrt(y.var(axis=(0, 1, 2)) + 1e-3)


def activated(layer, y):
    return jnp.clip(y, 0, 6) if layer.relu6 else y


def logits(weights, x):
    """Runs the network with the statistics of this batch."""
    block = None
    for layer in LAYERS:
        block = x if layer.opens else block
        y = convolve(layer, x, weights[layer.name + ".weight"])
        mean, scale = statistics(y)
        y = (y - mean) * (scale * weights[layer.name + ".gain"]) + weights[layer.name + ".bias"]
        x = activated(layer, y) + (block if layer.adds else 0)
    return x.mean(axis=(1, 2)) @ weights["fc.weight"] + weights["fc.bias"]


def loss(weights, x, labels):
    """Mean cross entropy."""
    p = jax.nn.log_softmax(logits(weights, x))
    return -p[jnp.arange(len(labels)), labels].mean()


@jax.jit
def update(weights, first, second, x, labels, step, rate):
    """One step of Adam; first and second are the running means of gradients and their squares."""
    gradients = jax.grad(loss)(weights, x, labels)
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradients)

    def moved(w, m, v):
        return w - rate * (m / (1 - 0.9**step)) / (jnp.sqrt(v / (1 - 0.999**step)) + 1e-8)

    return jax.tree.map(moved, weights, first, second), first, second


def shifted(x, rng):
    """Moves each picture by up to SHIFT pixels each way; what comes in is empty."""
    padded = np.pad(x, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)))
    corners = rng.integers(0, 2 * SHIFT + 1, size=(len(x), 2))
    return np.stack([p[r : r + SIDE, c : c + SIDE] for p, (r, c) in zip(padded, corners)])


def folded(weights, x):
    """Returns weights whose convolutions contain their normalisation, with statistics over x."""
    weights = dict(weights)
    block = None
    for layer in LAYERS:
        block = x if layer.opens else block
        y = convolve(layer, x, weights[layer.name + ".weight"])
        mean, scale = statistics(y)
        scale = scale * weights.pop(layer.name + ".gain")
        weights[layer.name + ".weight"] = weights[layer.name + ".weight"] * scale
        weights[layer.name + ".bias"] = weights[layer.name + ".bias"] - mean * scale
        x = activated(layer, y * scale + weights[layer.name + ".bias"]) + (block if layer.adds else 0)
    return {name: np.asarray(value) for name, value in weights.items()}


def train(x, labels, epochs):
    """Returns weights trained on x, float32 [n,32,32,1] from 0 to 1, and their classes.

    Adam with a cosine-decayed learning rate, on shuffled and shifted whole batches.
    """
    rng = np.random.default_rng(SEED)
    weights = initial_weights(rng)
    first = {name: np.zeros_like(w) for name, w in weights.items()}
    second = first
    batches = len(x) // BATCH
    steps = epochs * batches
    for step in range(steps):
        if step % batches == 0:
            order = rng.permutation(len(x))
        batch = order[step % batches * BATCH :][:BATCH]
        rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
        pictures, number = shifted(x[batch], rng), np.float32(step + 1)
        weights, first, second = update(
            weights, first, second, pictures, labels[batch], number, np.float32(rate)
        )
    return folded(weights, x)
