"""A PyTorch eager single-path DARTS supernet: the reference of the benchmarks.

Only benchmarks use it (`nasjax` itself needs no PyTorch): import it lazily. An
architecture is [2, 14] operation indices, row 0 for the normal cell and row 1 for
the reduction cell; edges run node by node, predecessors in order; 7 = no edge.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from torch import nn

OPERATIONS = ("max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3",
              "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5")  # fmt: skip
ABSENT = len(OPERATIONS)
OFFSETS = (0, 2, 5, 9)  # the first in-edge of each node; 14 edges


def batch_norm(channels, affine=False):
    return nn.BatchNorm2d(channels, affine=affine, track_running_stats=False)


def relu_conv_bn(c_in, c_out, norm=batch_norm):
    conv, bn = nn.Conv2d(c_in, c_out, 1, bias=False), norm(c_out)
    return nn.Sequential(nn.ReLU(), conv, bn)


class FactorizedReduce(nn.Module):
    """Halves the resolution by two 1x1 convolutions, on the even and odd pixels."""

    def __init__(self, c_in, c_out, norm=batch_norm):
        super().__init__()
        self.even = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(c_in, c_out // 2, 1, stride=2, bias=False)
        self.bn = norm(c_out)

    def forward(self, x):
        x = x.relu()
        return self.bn(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], dim=1))


def operation(name, channels, stride, norm=batch_norm):
    if name == "skip_connect":
        if stride == 1:
            return nn.Identity()
        return FactorizedReduce(channels, channels, norm)
    if name in ("max_pool_3x3", "avg_pool_3x3"):
        average = nn.AvgPool2d(3, stride, 1, count_include_pad=False)
        pool = nn.MaxPool2d(3, stride, 1) if name[0] == "m" else average
        return nn.Sequential(pool, norm(channels))
    size, dilation = int(name[-1]), 2 if name.startswith("dil") else 1
    pad, layers = dilation * (size // 2), []
    for s in (stride, 1)[: 3 - dilation]:  # a separable convolution runs twice
        deep = nn.Conv2d(channels, channels, size, s, pad, dilation, channels, False)
        point = nn.Conv2d(channels, channels, 1, bias=False)
        layers += [nn.ReLU(), deep, point, norm(channels)]
    return nn.Sequential(*layers)


class Cell(nn.Module):
    def __init__(self, c_prev_prev, c_prev, channels, reduction, reduction_prev):
        super().__init__()
        self.reduction = reduction
        first = FactorizedReduce if reduction_prev else relu_conv_bn
        self.preprocess0 = first(c_prev_prev, channels)
        self.preprocess1 = relu_conv_bn(c_prev, channels)
        self.edges = nn.ModuleList()
        for node in range(len(OFFSETS)):
            for predecessor in range(node + 2):
                stride = 2 if reduction and predecessor < 2 else 1
                ops = [operation(name, channels, stride) for name in OPERATIONS]
                self.edges.append(nn.ModuleList(ops))

    def forward(self, s0, s1, chosen):
        """`chosen[edge]` lists the operations that run on it."""
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        for node, offset in enumerate(OFFSETS):
            total = None
            for predecessor in range(node + 2):
                edge = offset + predecessor
                for index in chosen[edge]:
                    out = self.edges[edge][index](states[predecessor])
                    total = out if total is None else total + out
            if total is None:  # a node without in-edges
                total = torch.zeros_like(self.edges[0][0](states[0]))
            states.append(total)
        return torch.cat(states[2:], dim=1)


class Supernet(nn.Module):
    def __init__(self, cells=8, channels=16, classes=10):
        super().__init__()
        c_prev_prev = c_prev = 3 * channels
        conv = nn.Conv2d(3, c_prev, 3, padding=1, bias=False)
        self.stem = nn.Sequential(conv, batch_norm(c_prev, affine=True))
        self.cells, reduction_prev = nn.ModuleList(), False
        for index in range(cells):
            reduction = index in (cells // 3, 2 * cells // 3)
            channels *= 2 if reduction else 1
            cell = Cell(c_prev_prev, c_prev, channels, reduction, reduction_prev)
            self.cells.append(cell)
            c_prev_prev, c_prev, reduction_prev = c_prev, 4 * channels, reduction
        self.classifier = nn.Linear(c_prev, classes)

    def forward(self, images, arch):
        """Logits of one architecture; None sums all operations and edges."""
        chosen = [[range(ABSENT)] * 14] * 2
        if arch is not None:
            rows = np.asarray(arch).tolist()
            chosen = [[[i] if i != ABSENT else [] for i in row] for row in rows]
        s0 = s1 = self.stem(images)
        for cell in self.cells:
            s0, s1 = s1, cell(s0, s1, chosen[cell.reduction])
        return self.classifier(s1.mean(dim=(2, 3)))

    def forward_dense(self, images):
        return self(images, None)


def weights(model):
    """The parameters by name, as NumPy copies."""
    return {k: v.detach().cpu().numpy().copy() for k, v in model.named_parameters()}


def train_step(model, optimizer, images, labels, arch):
    """One step, returns the loss. SGD skips what did not run: its gradient is None."""
    optimizer.zero_grad(set_to_none=True)
    loss = nn.functional.cross_entropy(model(images, arch), labels)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()
    return loss.detach()


def random_arch(rng):
    """Two distinct in-edges for each node and a uniform operation on each."""
    arch = np.full((2, 14), ABSENT)
    for row in arch:
        for node, offset in enumerate(OFFSETS):
            edges = offset + rng.choice(node + 2, size=2, replace=False)
            row[edges] = rng.integers(ABSENT, size=2)
    return arch


def bench(cells=8, channels=16, batch=64, steps=5, threads=None, seed=0, device="cpu",
          bfloat16=False, dense=False, channels_last=False) -> dict:  # fmt: skip
    """Median seconds of a training step and of an evaluation batch, after a warm-up."""
    before, cuda = torch.get_num_threads(), torch.device(device).type == "cuda"
    synchronize = torch.cuda.synchronize if cuda else (lambda: None)
    torch.set_num_threads(threads or before)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = Supernet(cells, channels).to(device, memory_format=layout)
    images = torch.randn(batch, 3, 32, 32).to(device, memory_format=layout)
    labels = torch.randint(10, (batch,)).to(device)
    rates = {"lr": 0.025, "momentum": 0.9, "weight_decay": 3e-4}
    optimizer, result = torch.optim.SGD(model.parameters(), **rates), {}
    cast = torch.autocast(images.device.type, torch.bfloat16, bfloat16)
    for kind in ("train", "eval"):
        seconds = []
        model.train(kind == "train")
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        for _ in range(steps + 1):
            arch = None if dense else random_arch(rng)
            synchronize()
            start = time.perf_counter()
            with cast, torch.set_grad_enabled(model.training):
                if model.training:
                    train_step(model, optimizer, images, labels, arch)
                else:
                    (model(images, arch).argmax(1) == labels).float().mean()
            synchronize()
            seconds.append(time.perf_counter() - start)
        result[f"{kind}_seconds"] = statistics.median(seconds[1:])
        result[f"{kind}_images_per_second"] = batch / result[f"{kind}_seconds"]
        if cuda:
            result[f"{kind}_peak_bytes"] = torch.cuda.max_memory_allocated()
    torch.set_num_threads(before)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    for name, default in (("threads", None), ("batch", 64), ("steps", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name in ("bfloat16", "dense", "channels-last"):
        parser.add_argument(f"--{name}", action="store_true")
    options = vars(parser.parse_args())
    assert sum(p.numel() for p in Supernet().parameters()) == 1_930_618
    for key, value in (options | bench(**options)).items():
        print(f"{key}: {value}")


if __name__ == "__main__":
    main()
