"""The network of the digits example and its training, in plain NumPy.

Two convolutions, a 2x2 pool, a third convolution, the mean over what is left of the picture,
and one dense layer: 24,000 weights. Each convolution is followed by batch normalisation while
it is trained; afterwards the normalisation is folded into its weights, as in deployed networks.

Each layer returns its output and a function from the output's gradient to those of its
arguments. Pictures are [n, channels, rows, columns], convolution weights [out, in, 3, 3].
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

SHAPES = {"conv1": (16, 1, 3, 3), "conv2": (32, 16, 3, 3), "conv3": (64, 32, 3, 3), "fc": (10, 64)}
CONVOLUTIONS = ("conv1", "conv2", "conv3")
PIXELS = (0, 2, 3)  # every axis but the channels
SEED = 42
BATCH = 64
LEARNING_RATE = 3e-3


def initial_weights(rng):
    """He initialisation: keeps the variance through ReLU layers."""
    weights = {}
    for name, shape in SHAPES.items():
        deviation = np.sqrt(2 / np.prod(shape[1:]))
        weights[name + ".weight"] = rng.normal(0, deviation, shape).astype(np.float32)
        weights[name + ".bias"] = np.zeros(shape[0], np.float32)
        if name != "fc":
            weights[name + ".gain"] = np.ones(shape[0], np.float32)
    return weights


def conv(x, w):
    n, channels, rows, columns = x.shape
    windows = sliding_window_view(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), axis=(2, 3))
    patches = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, channels * 9)
    flat = w.reshape(len(w), -1)
    y = (patches @ flat.T).reshape(n, rows, columns, -1).transpose(0, 3, 1, 2)

    def backward(dy):
        dy = dy.transpose(0, 2, 3, 1).reshape(-1, len(w))
        dpatches = (dy @ flat).reshape(n, rows, columns, channels, 3, 3)
        dx = np.zeros((n, channels, rows + 2, columns + 2), np.float32)
        for r in range(3):
            for c in range(3):
                dx[:, :, r : r + rows, c : c + columns] += dpatches[..., r, c].transpose(0, 3, 1, 2)
        return dx[:, :, 1:-1, 1:-1], (dy.T @ patches).reshape(w.shape)

    return y, backward


def norm_relu(x, gain, bias):
    """Batch normalisation with the statistics of this batch, then ReLU."""
    mean, scale = statistics(x)
    h = (x - mean) * scale
    y = np.maximum(h * per_channel(gain) + per_channel(bias), 0)

    def backward(dy):
        dy = dy * (y > 0)
        dbias, dgain = dy.sum(axis=PIXELS), (dy * h).sum(axis=PIXELS)
        pixels = dy.size / len(gain)
        dx = dy - per_channel(dbias) / pixels - h * per_channel(dgain) / pixels
        return dx * scale * per_channel(gain), dgain, dbias

    return y, backward


def statistics(x):
    return x.mean(axis=PIXELS, keepdims=True), 1 / np.sqrt(x.var(axis=PIXELS, keepdims=True) + 1e-3)


def per_channel(v):
    return v[:, None, None]


def max_pool(x):
    n, channels, rows, columns = x.shape
    cells = x.reshape(n, channels, rows // 2, 2, columns // 2, 2)
    y = cells.max(axis=(3, 5), keepdims=True)
    share = (cells == y) / np.float32((cells == y).sum(axis=(3, 5), keepdims=True))
    return y[:, :, :, 0, :, 0], lambda dy: (share * dy.reshape(y.shape)).reshape(x.shape)


def loss_gradients(weights, x, labels):
    """Returns the gradient of the mean cross entropy for every weight."""
    steps, gradients = [], {}
    for name in CONVOLUTIONS:
        x, back_conv = conv(x, weights[name + ".weight"])
        x, back_norm = norm_relu(x, weights[name + ".gain"], weights[name + ".bias"])
        x, back_pool = max_pool(x) if name == "conv2" else (x, lambda dy: dy)
        steps.append((name, back_conv, back_norm, back_pool))
    features = x.mean(axis=(2, 3))
    logits = features @ weights["fc.weight"].T + weights["fc.bias"]
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)

    p[np.arange(len(labels)), labels] -= 1
    dlogits = p / len(labels)
    gradients["fc.weight"], gradients["fc.bias"] = dlogits.T @ features, dlogits.sum(axis=0)
    cells = x.shape[2] * x.shape[3]
    dx = np.broadcast_to((dlogits @ weights["fc.weight"])[:, :, None, None] / cells, x.shape)
    for name, back_conv, back_norm, back_pool in reversed(steps):
        dx, gradients[name + ".gain"], gradients[name + ".bias"] = back_norm(back_pool(dx))
        dx, gradients[name + ".weight"] = back_conv(dx)
    return gradients


def folded(weights, x):
    """Returns weights whose convolutions contain their normalisation, with statistics over x."""
    weights = dict(weights)
    for name in CONVOLUTIONS:
        y, _ = conv(x, weights[name + ".weight"])
        mean, scale = statistics(y)
        scale = scale.reshape(-1) * weights.pop(name + ".gain")
        weights[name + ".weight"] = weights[name + ".weight"] * scale[:, None, None, None]
        weights[name + ".bias"] = weights[name + ".bias"] - mean.reshape(-1) * scale
        x = np.maximum(y * per_channel(scale) + per_channel(weights[name + ".bias"]), 0)
        x = max_pool(x)[0] if name == "conv2" else x
    return weights


def shifted(x, rng):
    """Moves each picture by up to one pixel each way; what comes in is empty."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    corners = rng.integers(0, 3, size=(len(x), 2))
    return np.stack([p[:, r : r + 8, c : c + 8] for p, (r, c) in zip(padded, corners)])


def train(x, labels, steps):
    """Returns weights trained on x, float32 [n,1,8,8] from 0 to 1, and their classes.

    Adam with a cosine-decayed learning rate, on shuffled and shifted batches.
    """
    rng = np.random.default_rng(SEED)
    weights = initial_weights(rng)
    first = {k: np.zeros_like(v) for k, v in weights.items()}
    second = {k: np.zeros_like(v) for k, v in weights.items()}
    order = np.array([], int)
    for step in range(1, steps + 1):
        if len(order) < BATCH:
            order = rng.permutation(len(x))
        batch, order = order[:BATCH], order[BATCH:]
        rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * (step - 1) / steps))
        for k, g in loss_gradients(weights, shifted(x[batch], rng), labels[batch]).items():
            first[k] = 0.9 * first[k] + 0.1 * g
            second[k] = 0.999 * second[k] + 0.001 * g * g
            mean, square = first[k] / (1 - 0.9**step), second[k] / (1 - 0.999**step)
            weights[k] -= (rate * mean / (np.sqrt(square) + 1e-8)).astype(np.float32)
    return folded(weights, x)
