"""Derived networks once more, in NumPy and float64: what the tests compare with.

As the public PyTorch code lays them out. Slow, and nothing of nasjax is called.
"""

import jax
import numpy as np
from numpy_supernet import convolution, depthwise, even, pool, relu


def weights(shapes, seed=1):
    """Random float64 variables; variances are positive."""
    random = np.random.default_rng(seed)

    def draw(path, x):
        values = 0.5 * random.standard_normal(x.shape)
        if path[-1].key == "variance":
            values = 0.5 + values**2
        return values + (path[-1].key == "scale")

    return jax.tree_util.tree_map_with_path(draw, shapes)


class Place:
    """A part of the network: its weights and running statistics by name."""

    def __init__(self, params, statistics, train):
        self.params, self.statistics, self.train = params, statistics, train

    def __getitem__(self, name):
        part = self.statistics.get(name, {})
        return Place(self.params.get(name, {}), part, self.train)

    def norm(self, name, x):
        """Normalises; in training the statistics move, in place, as PyTorch's do."""
        weights, running = self.params[name], self.statistics[name]
        mean, variance = running["mean"], running["variance"]
        if self.train:
            rows = x.reshape(-1, x.shape[-1])
            mean, variance = rows.mean(0), rows.var(0)
            running["mean"] = 0.9 * running["mean"] + 0.1 * mean
            unbiased = rows.var(0, ddof=1)
            running["variance"] = 0.9 * running["variance"] + 0.1 * unbiased
        y = (x - mean) / np.sqrt(variance + 1e-5)
        return weights["scale"] * y + weights["bias"]

    def dense(self, name, x, stride=1):
        kernel = self.params[name]["kernel"]
        if len(kernel) > 1:
            return convolution(x, kernel, stride)
        return x[:, ::stride, ::stride] @ kernel[0, 0]

    def relu_conv_norm(self, x, stride=1):
        return self.norm("BatchNorm_0", self.dense("Convolution_0", relu(x), stride))

    def factorized(self, x):
        x = relu(x)
        left = self.dense("Convolution_0", x, 2)
        right = self.dense("Convolution_1", even(x)[:, 1:, 1:], 2)
        return self.norm("BatchNorm_0", np.concatenate([left, right], -1))

    def operation(self, name, x, stride=1):
        match name:
            case "none":
                return np.zeros_like(x[:, ::stride, ::stride])
            case "max_pool_3x3":
                return pool(x, np.max, stride)
            case "avg_pool_3x3":
                return pool(x, np.mean, stride)
            case "skip_connect":
                return x if stride == 1 else self["FactorizedReduce_0"].factorized(x)
            case "nor_conv_1x1" | "nor_conv_3x3":
                return self["ReluConvNorm_0"].relu_conv_norm(x, stride)
        dilation, times = {"sep": (1, 2), "dil": (2, 1)}[name[:3]]
        for i in range(times):
            kernel = self.params[f"Depthwise_{i}"]["kernel"]
            assert len(kernel) == int(name[-1])
            x = depthwise(relu(x), kernel, dilation, (stride, 1)[i])
            x = self.norm(f"BatchNorm_{i}", self.dense(f"Convolution_{i}", x))
        return x

    def cell(self, edges, inputs, stride=1):
        states = dict(enumerate(inputs))
        for source, target, name in edges:
            step = stride if source < len(inputs) else 1
            y = self[f"edge{source}{target}"].operation(name, states[source], step)
            states[target] = states.get(target, 0) + y
        return [states[i] for i in range(len(inputs), len(states))]

    def darts_cell(self, edges, older, newer, stride, halved):
        first = self["older"]
        first = first.factorized(older) if halved else first.relu_conv_norm(older)
        inputs = first, self["newer"].relu_conv_norm(newer)
        return np.concatenate(self["edges"].cell(edges, inputs, stride), -1)

    def linear(self, name, x):
        return x @ self.params[name]["kernel"] + self.params[name]["bias"]

    def auxiliary(self, x, imagenet):
        x, stride = relu(x), 2 if imagenet else 3
        pooled = np.empty((len(x), 2, 2, x.shape[-1]))
        for i, j in np.ndindex(2, 2):
            top, left = i * stride, j * stride
            pooled[:, i, j] = x[:, top : top + 5, left : left + 5].mean((1, 2))
        x = relu(self.norm("BatchNorm_0", self.dense("Convolution_0", pooled)))
        x = np.einsum("bijc,ijcd->bd", x, self.params["kernel"])
        if not imagenet:
            x = self.norm("BatchNorm_1", x)
        return self.linear("Linear_0", relu(x))

    def darts(self, config, x):
        imagenet, auxiliary = config.stem == "imagenet", None
        if imagenet:
            x = self.norm("stem0_norm", self.dense("stem0", x, 2))
            older = self["stem1"].relu_conv_norm(x, 2)
            newer = self["stem2"].relu_conv_norm(older, 2)
        else:
            older = newer = self.norm("stem_norm", self.dense("stem", x))
        second = 2 * config.cells // 3
        reductions = {config.cells // 3, second}
        for i in range(config.cells):
            edges = config.edges(int(i in reductions))
            halved = i - 1 in reductions or (imagenet and i == 0)
            stride = 1 + (i in reductions)
            new = self[f"cell{i}"].darts_cell(edges, older, newer, stride, halved)
            older, newer = newer, new
            if config.auxiliary and self.train and i == second:
                auxiliary = self["auxiliary"].auxiliary(newer, imagenet)
        return newer, auxiliary

    def nb201(self, config, x):
        x = self.norm("stem_norm", self.dense("stem", x))
        for stage in range(3):
            if stage:
                block = self[f"block{stage}"]
                y = block["ReluConvNorm_0"].relu_conv_norm(x, 2)
                y = block["ReluConvNorm_1"].relu_conv_norm(y)
                shortcut = pool(x, np.mean, 2, size=2, padding=0)
                x = y + block.dense("Convolution_0", shortcut)
            for i in range(config.cells):
                x = self[f"cell{stage}_{i}"].cell(config.edges(), [x])[-1]
        return relu(self.norm("last_norm", x)), None


def network(variables, config, images, train):
    """Logits, auxiliary logits and new statistics."""
    statistics = jax.tree.map(np.array, variables["statistics"])
    whole = Place(variables["params"], statistics, train)
    x, auxiliary = getattr(whole["body"], config.kind)(config, images)
    return whole.linear("classifier", x.mean((1, 2))), auxiliary, statistics
