"""The supernets once more, in NumPy and float64: what the tests compare with.

As the public PyTorch code lays them out: states are lists, nodes are concatenated,
edges and operations are visited one by one. Slow, and nothing of nasjax is called.
"""

import jax
import numpy as np
from scipy import signal


def weights(shapes, seed=1):
    """Random numbers for every weight, scales and biases too."""
    random = np.random.default_rng(seed)
    return jax.tree.map(
        lambda x: 0.3 * random.standard_normal(x.shape, np.float32), shapes
    )


def relu(x):
    return np.maximum(x, 0)


def _pad(x, width):
    return np.pad(x, ((0, 0), (width, width), (width, width), (0, 0)))


def depthwise(x, kernel, dilation=1, stride=1):
    k = dilation * (len(kernel) - 1) + 1
    spread = np.zeros((k, k, x.shape[-1]))
    spread[::dilation, ::dilation] = kernel
    x = _pad(x, k // 2)
    out = [
        [
            signal.correlate2d(image[:, :, c], spread[:, :, c], mode="valid")
            for c in range(x.shape[-1])
        ]
        for image in x
    ]
    return np.moveaxis(np.array(out), 1, -1)[:, ::stride, ::stride]


def convolution(x, kernel, stride=1):
    x, kernel = _pad(x, len(kernel) // 2), np.asarray(kernel, float)
    out = [
        [
            signal.correlate(image, kernel[..., d], mode="valid", method="direct")
            for d in range(kernel.shape[-1])
        ]
        for image in x
    ]
    return np.moveaxis(np.array(out)[..., 0], 1, -1)[:, ::stride, ::stride]


def pool(x, reduce, stride=1, size=3, padding=1):
    """`reduce` (np.max, np.mean) of what each window sees of the image."""
    B, H, W, C = x.shape
    out = np.empty((B, -(-H // stride), -(-W // stride), C))
    for i, j in np.ndindex(out.shape[1:3]):
        top, left = stride * i - padding, stride * j - padding
        window = x[:, max(top, 0) : top + size, max(left, 0) : left + size]
        out[:, i, j] = reduce(window, axis=(1, 2))
    return out


def norm(x):
    mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    return (x - mean) / np.sqrt(variance + 1e-5)


def even(x):
    """A row or column of zeros more where a side is odd, as NAS-Bench-201's code."""
    return np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))


def factorized(weights, x):
    x = relu(x)
    left = x[:, ::2, ::2] @ weights[0]
    right = even(x)[:, 1:, 1:][:, ::2, ::2] @ weights[1]
    return norm(np.concatenate([left, right], axis=-1))


def darts_operation(name, weights, x, stride=1):
    match name:
        case "none":
            return np.zeros_like(x[:, ::stride, ::stride])
        case "max_pool_3x3":
            return norm(pool(x, np.max, stride))
        case "avg_pool_3x3":
            return norm(pool(x, np.mean, stride))
        case "skip_connect":
            return x if stride == 1 else factorized(weights["reduce"], x)
    dilation, times = {"sep": (1, 2), "dil": (2, 1)}[name[:3]]
    assert weights["depthwise"].shape[:2] == (times, int(name[-1]))
    for i in range(times):
        x = depthwise(relu(x), weights["depthwise"][i], dilation, (stride, 1)[i])
        x = norm(x @ weights["pointwise"][i])
    return x


def nb201_operation(name, weights, x, stride=1):
    match name:
        case "none":
            return np.zeros_like(x)
        case "skip_connect":
            return x
        case "avg_pool_3x3":
            return pool(x, np.mean)
    assert len(weights["kernel"]) == int(name[-1])
    return norm(convolution(relu(x), weights["kernel"]))


OPERATIONS = {"darts": darts_operation, "nb201": nb201_operation}


def shuffle(x, groups):
    """PyTorch's view(groups, C / groups), transpose, view."""
    out = np.empty_like(x)
    size = x.shape[-1] // groups
    for group in range(groups):
        for j in range(size):
            out[..., j * groups + group] = x[..., group * size + j]
    return out


def partially(operation, x, parts, stride):
    if parts == 1:
        return operation(x)
    some = x.shape[-1] // parts
    rest = x[..., some:]
    if stride == 2:
        rest = pool(rest, np.max, 2, size=2, padding=0)
    return shuffle(np.concatenate([operation(x[..., :some]), rest], -1), parts)


def row(tree, i):
    return {name: weights[i] for name, weights in tree.items()}


def by_edge(edges, stride, stacks):
    """The weights of each edge by operation, out of the stacks."""
    every = range(len(edges))
    groups = [list(every)]
    if stride == 2:
        first = [e for e in every if edges[e][0] < 2]
        groups = [first, [e for e in every if e not in first]]
    found = {}
    for group, stack in zip(groups, stacks, strict=True):
        for i, e in enumerate(group):
            found[e] = {name: row(tree, i) for name, tree in stack.items()}
    return found


def cell(config, stacks, inputs, alpha, stride=1):
    """The computed nodes. An edge without any operation is absent."""
    edges, states = config.space.edges, dict(enumerate(inputs))
    weights = by_edge(edges, stride, stacks)
    for e, (source, target) in enumerate(edges):
        if not alpha[e].any():
            continue
        step = stride if source < len(inputs) else 1

        def mixed(x, e=e, step=step):
            return sum(
                a * OPERATIONS[config.kind](name, weights[e][name], x, step)
                for name, a in zip(config.space.operations, alpha[e], strict=True)
            )

        y = partially(mixed, states[source], config.parts, step)
        states[target] = states.get(target, 0) + y
    empty = np.zeros_like(inputs[0][:, ::stride, ::stride])
    targets = sorted({target for _, target in edges})
    return [states.get(target, 0) + empty for target in targets]


def _affine(x, weights):
    return norm(x) * weights["scale"] + weights["bias"]


def _darts(params, alpha, images, config):
    if config.stem == "cifar":
        x = _affine(convolution(images, params["stem0"]["kernel"]), params["stem0"])
        older, newer, reduced = x, x, False
    else:
        stems, x = [params[f"stem{i}"] for i in range(3)], images
        x = relu(_affine(convolution(x, stems[0]["kernel"], 2), stems[0]))
        older = _affine(convolution(x, stems[1]["kernel"], 2), stems[1])
        newer = _affine(convolution(relu(older), stems[2]["kernel"], 2), stems[2])
        reduced = True
    for i in range(config.cells):
        weights = params[f"cell{i}"]
        reduction = i in (config.cells // 3, 2 * config.cells // 3)
        if reduced:
            first = factorized(weights["older"], older)
        else:
            first = norm(relu(older) @ weights["older"])
        inputs = [first, norm(relu(newer) @ weights["newer"])]
        stride, mask = (2, alpha[1]) if reduction else (1, alpha[0])
        nodes = cell(config, weights["edges"], inputs, mask, stride)
        older, newer, reduced = newer, np.concatenate(nodes, -1), reduction
    return newer


def _nb201(params, alpha, images, config):
    x = _affine(convolution(images, params["stem"]["kernel"]), params["stem"])
    for stage in range(3):
        if stage:
            weights = params[f"block{stage}"]
            y = norm(convolution(relu(x), weights["first"], 2))
            y = norm(convolution(relu(y), weights["second"]))
            x = y + pool(x, np.mean, 2, size=2, padding=0) @ weights["shortcut"]
        for i in range(config.cells):
            edges = params[f"cell{stage}.{i}"]["edges"]
            x = cell(config, edges, [x], alpha)[-1]
    return relu(norm(x))


def network(params, alpha, images, config):
    """Logits; params and images in float64, alpha [*arch_shape, O]."""
    apply = {"darts": _darts, "nb201": _nb201}[config.kind]
    pooled = apply(params, alpha, images, config).mean(axis=(1, 2))
    return pooled @ params["classifier"]["kernel"] + params["classifier"]["bias"]
