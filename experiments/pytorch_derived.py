"""A DARTS network of one architecture in PyTorch eager: the reference of a benchmark.

Only benchmarks use it (`nasjax` itself needs no PyTorch): import it lazily. Edges are
(source, target, operation), node by node, as `DerivedConfig.edges` lists them.
"""

import functools
import statistics
import time

import torch
from pytorch_supernet import FactorizedReduce, operation, relu_conv_bn
from torch import nn

norm = nn.BatchNorm2d  # learnt scale and shift, running statistics


def derived_operation(name, channels, stride):
    """As in a supernet, but pools are not normalised."""
    whole = operation(name, channels, stride, norm)
    return whole[0] if "pool" in name else whole


class Cell(nn.Module):
    def __init__(self, c_prev_prev, c_prev, channels, edges, reduction, reduction_prev):
        super().__init__()
        first = FactorizedReduce if reduction_prev else relu_conv_bn
        self.preprocess0 = first(c_prev_prev, channels, norm)
        self.preprocess1 = relu_conv_bn(c_prev, channels, norm)
        self.edges = edges
        self.operations = nn.ModuleList(
            derived_operation(name, channels, 2 if reduction and source < 2 else 1)
            for source, _, name in edges
        )

    def forward(self, s0, s1, drop_path):
        nodes = [self.preprocess0(s0), self.preprocess1(s1)]
        for (source, target, _), run in zip(self.edges, self.operations, strict=True):
            x = run(nodes[source])
            if drop_path and not isinstance(run, nn.Identity):
                kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= drop_path
                x = x * (kept / (1 - drop_path)).to(x.dtype)
            if target < len(nodes):
                nodes[target] = nodes[target] + x
            else:
                nodes.append(x)
        return torch.cat(nodes[2:], dim=1)


def auxiliary_head(channels, classes):
    """For features of 8 x 8 pixels."""
    relu, pool = nn.ReLU(), nn.AvgPool2d(5, 3)
    first, second = nn.Conv2d(channels, 128, 1, bias=False), nn.Conv2d(128, 768, 2)
    second.bias = None
    convolutions = (first, norm(128), relu, second, norm(768), relu)
    return nn.Sequential(
        relu, pool, *convolutions, nn.Flatten(), nn.Linear(768, classes)
    )


class Network(nn.Module):
    """`NetworkCIFAR` of the public DARTS code; `edges` of normal and reduction cell."""

    def __init__(self, edges, cells, channels, classes, auxiliary):
        super().__init__()
        c_prev_prev = c_prev = 3 * channels
        conv = nn.Conv2d(3, c_prev, 3, padding=1, bias=False)
        self.stem, self.cells = nn.Sequential(conv, norm(c_prev)), nn.ModuleList()
        self.auxiliary, reduction_prev = None, False
        for index in range(cells):
            reduction = index in (cells // 3, 2 * cells // 3)
            channels *= 2 if reduction else 1
            inputs = c_prev_prev, c_prev, channels
            chosen = edges[int(reduction)]
            self.cells.append(Cell(*inputs, chosen, reduction, reduction_prev))
            c_prev_prev, c_prev, reduction_prev = c_prev, 4 * channels, reduction
            if index == 2 * cells // 3 and auxiliary:
                self.auxiliary, self.at = auxiliary_head(c_prev, classes), index
        self.classifier = nn.Linear(c_prev, classes)

    def forward(self, images, drop_path=0.0):
        s0 = s1 = self.stem(images)
        auxiliary = None
        for index, cell in enumerate(self.cells):
            s0, s1 = s1, cell(s0, s1, drop_path)
            if self.training and self.auxiliary is not None and index == self.at:
                auxiliary = self.auxiliary(s1)
        return self.classifier(s1.mean(dim=(2, 3))), auxiliary


def train_step(model, optimizer, images, labels, weight, drop_path):
    """One step on logits and, by its weight, the auxiliary head."""
    optimizer.zero_grad(set_to_none=True)
    logits, auxiliary = model(images, drop_path)
    loss = nn.functional.cross_entropy(logits, labels)
    if auxiliary is not None:
        loss = loss + weight * nn.functional.cross_entropy(auxiliary, labels)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimizer.step()


def rates(
    edges,
    *,
    cells,
    channels,
    classes,
    image_size,
    batch,
    steps,
    auxiliary=0.0,
    drop_path=0.0,
    device="cpu",
    bfloat16=False,
    channels_last=False,
):
    """Images per second of training and of a test, medians; number of parameters.

    Images are random and already augmented.
    """
    cuda = torch.device(device).type == "cuda"
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = Network(edges, cells, channels, classes, auxiliary > 0)
    model = model.to(device, memory_format=layout)
    images = torch.randn(batch, 3, image_size, image_size).to(device)
    images = images.to(memory_format=layout)
    labels = torch.randint(classes, (batch,)).to(device)
    settings = {"lr": 0.025, "momentum": 0.9, "weight_decay": 3e-4}
    optimizer = torch.optim.SGD(model.parameters(), **settings)
    learn = functools.partial(
        train_step, model, optimizer, images, labels, auxiliary, drop_path
    )
    cast, measured = torch.autocast(images.device.type, torch.bfloat16, bfloat16), []
    for training in (True, False):
        seconds = []
        model.train(training)
        for _ in range(steps + 1):
            if cuda:
                torch.cuda.synchronize()
            start = time.perf_counter()
            with cast, torch.set_grad_enabled(training):
                learn() if training else (model(images)[0].argmax(1) == labels).sum()
            if cuda:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
        measured.append(batch / statistics.median(seconds[1:]))
    return (*measured, sum(p.numel() for p in model.parameters()))
