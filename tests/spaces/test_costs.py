"""Costs: published counts, and a counter that walks the networks layer by layer."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nasjax.spaces import costs, darts, genotypes, nas_bench_201

pytestmark = pytest.mark.usefixtures("quick_compile")

SPACE, WITH_NONE, NB201 = darts(), darts(none=True), nas_bench_201()
IMAGENET = {
    "cells": 14,
    "channels": 48,
    "classes": 1000,
    "image_size": 224,
    "stem": "imagenet",
}
network = functools.cache(costs.darts_network)
QUANTITIES = (costs.params, costs.macs, costs.batch_norm_elements, costs.flops)


def published(name):
    return genotypes.to_arch(genotypes.PUBLISHED[name], WITH_NONE)


class Walk:
    """Runs shapes (channels, pixels) through a network and counts as it goes."""

    def __init__(self):
        self.params = self.macs = self.norms = self.pooled = 0

    def conv(self, shape, outputs, kernel, stride=1, padding=0, dilation=1, groups=1):
        inputs, size = shape
        assert inputs % groups == outputs % groups == 0
        size = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for _ in range(outputs):
            weights = sum(kernel * kernel for _ in range(inputs // groups))
            self.params += weights
            self.macs += weights * size * size
        return outputs, size

    def norm(self, shape):
        self.params += 2 * shape[0]
        self.norms += math.prod((*shape, shape[1]))
        return shape

    def average(self, shape, kernel=3, stride=1, padding=1):
        odd = shape[1] % 2 if kernel == 2 else 0  # rounded up
        size = (shape[1] + odd + 2 * padding - kernel) // stride + 1
        self.pooled += shape[0] * size * size
        return shape[0], size

    def linear(self, inputs, classes):
        self.params += inputs * classes + classes
        self.macs += inputs * classes

    def factorized(self, shape, outputs):
        left = self.conv(shape, outputs // 2, 1, stride=2)
        offset = shape[1] - 1 + shape[1] % 2  # padded to an even side
        right = self.conv((shape[0], offset), outputs // 2, 1, stride=2)
        assert left == right
        return self.norm((left[0] + right[0], left[1]))

    def separable(self, shape, kernel, stride, dilation):
        padding = dilation * (kernel - 1) // 2
        shape = self.conv(
            shape, shape[0], kernel, stride, padding, dilation, groups=shape[0]
        )
        return self.norm(self.conv(shape, shape[0], 1))

    def operation(self, name, shape, stride=1):
        kernel = {"3x3": 3, "5x5": 5, "1x1": 1}.get(name[-3:])
        if name.startswith("sep"):
            shape = self.separable(shape, kernel, stride, 1)
            return self.separable(shape, kernel, 1, 1)
        if name.startswith("dil"):
            return self.separable(shape, kernel, stride, 2)
        if name.startswith("nor"):
            return self.norm(self.conv(shape, shape[0], kernel, 1, kernel // 2))
        if name == "avg_pool_3x3":
            return self.average(shape, 3, stride)
        if name == "skip_connect" and stride == 2:
            return self.factorized(shape, shape[0])
        return shape[0], -(-shape[1] // stride)

    def darts(self, space, arch, cells, channels, classes, image_size, stem, colours):
        if stem == "cifar":
            s0 = s1 = self.norm(self.conv((colours, image_size), 3 * channels, 3, 1, 1))
        else:
            half = self.norm(self.conv((colours, image_size), channels // 2, 3, 2, 1))
            s0 = self.norm(self.conv(half, channels, 3, 2, 1))
            s1 = self.norm(self.conv(s0, channels, 3, 2, 1))
        for index in range(cells):
            reduction = index in (cells // 3, 2 * cells // 3)
            channels *= 1 + reduction
            if s0[1] != s1[1]:
                first = self.factorized(s0, channels)
            else:
                first = self.norm(self.conv(s0, channels, 1))
            states = [first, self.norm(self.conv(s1, channels, 1))]
            edge = 0
            for node in range(4):
                arriving = set()
                for source in range(node + 2):
                    operation = arch[int(reduction)][edge]
                    edge += 1
                    if operation < space.num_operations:
                        stride = 2 if reduction and source < 2 else 1
                        name = space.operations[operation]
                        arriving.add(self.operation(name, states[source], stride))
                # The inputs of a node agree in shape, or this is no network.
                (state,) = arriving
                states.append(state)
            s0, s1 = s1, (4 * channels, states[-1][1])
        self.linear(s1[0], classes)
        return self

    def nb201(self, arch, cells, channels, classes, image_size, colours):
        shape = self.norm(self.conv((colours, image_size), channels, 3, 1, 1))
        for stage in range(3):
            if stage:
                shortcut = self.average(shape, 2, 2, 0)
                shortcut = self.conv(shortcut, 2 * shape[0], 1)
                shape = self.norm(self.conv(shape, 2 * shape[0], 3, 2, 1))
                shape = self.norm(self.conv(shape, shape[0], 3, 1, 1))
                assert shape == shortcut
            for operation in list(arch) * cells:
                assert self.operation(NB201.operations[operation], shape) == shape
        self.norm(shape)
        self.linear(shape[0], classes)
        return self

    def agrees(self, table, arch):
        flops = 2 * (self.macs + 2 * self.norms + self.pooled)
        counted = [quantity(table, arch) for quantity in QUANTITIES]
        assert counted == [self.params, self.macs, self.norms, flops]


def architectures(space):
    """A cell's kept edges and their operations, for both cells."""

    @st.composite
    def draw_arch(draw):
        arch = np.full(space.arch_shape, space.num_operations, np.uint8)
        operation = st.integers(0, space.num_operations - 1)
        for row in arch:
            for offset, edges in ((0, 2), (2, 3), (5, 4), (9, 5)):
                picks = st.lists(
                    st.integers(0, edges - 1), min_size=2, max_size=2, unique=True
                )
                for edge in draw(picks):
                    row[offset + edge] = draw(operation)
        return arch

    return draw_arch()


@settings(max_examples=60)
@given(
    architectures(WITH_NONE),
    st.integers(1, 9),
    st.sampled_from([4, 6, 16]),
    st.sampled_from([("cifar", 8), ("cifar", 33), ("imagenet", 32), ("imagenet", 97)]),
    st.integers(1, 20),
    st.integers(1, 4),
)
def test_darts_networks_layer_by_layer(arch, cells, channels, frame, classes, colours):
    stem, size = frame
    options = {
        "cells": cells,
        "channels": channels,
        "classes": classes,
        "image_size": size,
        "stem": stem,
    }
    walk = Walk().darts(WITH_NONE, arch, **options, colours=colours)
    walk.agrees(network(WITH_NONE, **options, image_channels=colours), arch)


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 4), min_size=6, max_size=6),
    st.integers(1, 6),
    st.integers(1, 20),
    st.sampled_from([4, 16, 19, 32, 33]),
    st.integers(1, 20),
    st.integers(1, 4),
)
def test_nas_bench_201_layer_by_layer(arch, cells, channels, size, classes, colours):
    sizes = {"channels": channels, "classes": classes, "image_size": size}
    table = costs.nb201_network(cells_per_stage=cells, image_channels=colours, **sizes)
    walk = Walk().nb201(arch, cells, **sizes, colours=colours)
    walk.agrees(table, np.array(arch, np.uint8))


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_images_that_are_not_square(stem):
    """Two squares side by side cost twice as much, but for the classifier."""
    options = {"stem": stem, "cells": 5, "channels": 8}
    arch = published("DARTS_V2")
    one, two = (
        network(WITH_NONE, image_size=size, **options) for size in (64, (64, 128))
    )
    last = 4 * 8 * 4 * 10
    assert costs.macs(two, arch) - last == 2 * (costs.macs(one, arch) - last)
    assert costs.params(two, arch) == costs.params(one, arch)
    turned = [network(WITH_NONE, image_size=s, **options) for s in ((47, 33), (33, 47))]
    assert costs.flops(turned[0], arch) == costs.flops(turned[1], arch)


def test_image_channels():
    """Each more costs a kernel of the first convolution."""
    counts = [costs.supernet_parameters(SPACE, image_channels=c) for c in (1, 3, 4)]
    assert counts[1] - counts[0] == 2 * 9 * 48
    assert counts[2] - counts[1] == 9 * 48


# Without and with the auxiliary head. A public log of DARTS V2 prints 3.349342MB.
PARAMETERS = [
    ("DARTS_V1", {}, None, 3_645_840),
    ("DARTS_V1", {"classes": 100}, None, 3_766_980),
    ("DARTS_V2", {}, 3_349_342, 3_825_768),
    ("DARTS_V2", {"classes": 100}, 3_401_272, 3_946_908),
    ("DARTS_V2", {"cells": 10}, 1_596_034, 2_072_460),
    ("DARTS_V2", {"cells": 6}, 635_446, 1_111_872),
    ("DARTS_V2", IMAGENET, 4_718_752, 5_979_528),
    ("PC_DARTS_cifar", {}, 3_634_678, 4_111_104),
    ("PC_DARTS_cifar", {"classes": 100}, 3_686_608, 4_232_244),
    ("PC_DARTS_cifar", {"cells": 10}, 1_950_814, 2_427_240),
    ("PC_DARTS_cifar", {"cells": 6}, 1_029_862, 1_506_288),
    ("PC_DARTS_cifar", IMAGENET, 5_270_560, 6_531_336),
    ("DDAS-NL", {}, 2_748_646, 3_225_072),
    ("DDAS-NL", {"cells": 10}, 1_448_542, 1_924_968),
]


@pytest.mark.parametrize("name, options, alone, with_head", PARAMETERS)
def test_published_parameters(name, options, alone, with_head):
    table, arch = network(WITH_NONE, **options), published(name)
    counted = costs.params(table, arch)
    assert counted.dtype == np.int64
    assert counted + table.auxiliary == with_head
    assert alone in (None, counted)


def test_auxiliary_heads():
    assert network(SPACE).auxiliary == 476_426
    assert network(SPACE, classes=100).auxiliary == 545_636
    assert network(SPACE, **IMAGENET).auxiliary == 1_260_776


def test_published_multiply_adds():
    table = network(WITH_NONE)
    for name, wanted in (("DARTS_V2", 528_359_040), ("PC_DARTS_cifar", 556_670_592)):
        assert costs.macs(table, published(name)) == wanted
        assert costs.batch_norm_elements(table, published(name)) == 5_363_712
    table = network(WITH_NONE, **IMAGENET)
    for name, wanted in (("DARTS_V2", 529.912), ("PC_DARTS_cifar", 571.137)):
        assert round(costs.macs(table, published(name)) / 1e6, 3) == wanted


@pytest.mark.parametrize(
    "name, options, wanted, without_pools",
    [
        # Thesis Table 3.1 prints 1.022 G, 1.078 G, 0.876 G and 0.814 G.
        ("DARTS_V1", {}, 1.022e9, None),
        ("DARTS_V2", {}, 1.078e9, None),
        ("DDAS-NL", {}, 876_619_008, None),
        ("DDAS-4S", {"classes": 100}, 813_851_136, None),
        # Fig. 3.4, the six cells of the search.
        ("DDAS-NL", {"cells": 6, "channels": 16}, 68_416_512, 68_211_712),
        (
            "DDAS-4S",
            {"cells": 6, "channels": 16, "classes": 100},
            62_703_616,
            62_588_928,
        ),
    ],
)
def test_published_flops(name, options, wanted, without_pools):
    table, arch = network(WITH_NONE, **options), published(name)
    assert abs(costs.flops(table, arch) - wanted) < (5e5 if wanted % 1e6 == 0 else 1)
    rest = costs.macs(table, arch) + 2 * costs.batch_norm_elements(table, arch)
    assert without_pools in (None, 2 * rest)


@pytest.mark.parametrize(
    "options, wanted",
    [
        ({}, 1_930_618),
        ({"classes": 100}, 1_953_748),
        ({"classes": 120}, 1_958_888),
        ({"cells": 6}, 1_322_490),
        ({"cells": 6, "classes": 100}, 1_345_620),
        ({"partial": 4}, 299_578),
        ({"partial": 4, "classes": 100}, 322_708),
        ({"partial": 4, "classes": 120}, 327_848),
        ({"partial": 2, "classes": 1000, "stem": "imagenet"}, 956_512),
    ],
)
def test_supernets_as_their_logs_print_them(options, wanted):
    assert costs.supernet_parameters(SPACE, **options) == wanted
    # `none` has no weights.
    assert costs.supernet_parameters(WITH_NONE, **options) == wanted


@pytest.mark.parametrize(
    "arch, parameters, macs",
    [
        ([0] * 6, (73_306, 79_156, 80_456), (7_783_050, 7_788_900, 1_953_400)),
        (
            [4, 2, 1, 2, 1, 1],
            (129_306, 135_156, 136_456),
            (15_647_370, 15_653_220, 3_919_480),
        ),
        (
            [3, 3, 3, 1, 3, 3],
            (1_288_506, 1_294_356, 1_295_656),
            (184_730_250, 184_736_100, 46_190_200),
        ),
        (
            [3] * 6,
            (1_531_546, 1_537_396, 1_538_696),
            (220_119_690, 220_125_540, 55_037_560),
        ),
    ],
)
def test_nas_bench_201_as_its_files_print_it(arch, parameters, macs):
    arch = np.array(arch, np.uint8)
    for column, (classes, size) in enumerate(((10, 32), (100, 32), (120, 16))):
        table = costs.nb201_network(classes=classes, image_size=size)
        assert costs.params(table, arch) == parameters[column]
        # The benchmark counts the bias of the linear layer, this module does not.
        assert costs.macs(table, arch) == macs[column] - classes
    assert table.auxiliary == 0


SMALL = {"cells": 5, "channels": 4}


@given(architectures(WITH_NONE), st.integers(0, 1), st.integers(0, 13))
def test_edges_cost_what_they_hold(arch, cell, edge):
    table = network(WITH_NONE, **SMALL)
    removed = arch.copy()
    removed[cell, edge] = 8
    for name in costs.Costs._fields:
        column = getattr(table.edges, name)
        assert column.shape == (2, 14, 9)
        assert not column[:, :, [0, 8]].any()  # `none`, absent
        assert np.all(column >= 0)
    held = arch[cell, edge]
    # A skip has weights where it halves the pixels: from the inputs of a reduction.
    halves = cell == 1 and WITH_NONE.edges[edge][0] < 2
    free = held in (0, 1, 2, 8) or (held == 3 and not halves)
    empty = np.full((2, 14), 8, np.uint8)
    alone = empty.copy()
    alone[cell, edge] = held
    for quantity in (costs.macs, costs.params):
        saved = quantity(table, arch) - quantity(table, removed)
        assert (saved == 0) == free
        assert quantity(table, alone) - quantity(table, empty) == saved
    assert costs.macs(table, empty) == table.base.macs


@given(architectures(WITH_NONE))
def test_no_architecture_is_over_the_limit(arch):
    table = network(WITH_NONE, **SMALL)
    for name, limit in table.limit._asdict().items():
        spent = getattr(table.edges, name)[
            np.arange(2)[:, None], np.arange(14), arch
        ].sum()
        assert getattr(table.base, name) + spent <= limit
    # And one reaches it: two 5x5 separable convolutions on every node.
    dearest = np.array([5, 5, 5, 5, 8, 5, 5, 8, 8, 5, 5, 8, 8, 8], np.uint8)
    assert costs.macs(table, np.stack([dearest] * 2)) == table.limit.macs


@pytest.mark.parametrize(
    "space, table",
    [
        (WITH_NONE, network(WITH_NONE)),
        (SPACE, network(SPACE, **IMAGENET)),
        (NB201, costs.nb201_network()),
    ],
    ids=["cifar", "imagenet", "nas-bench-201"],
)
def test_jit_counts_what_numpy_counts(space, table):
    keys = jax.random.split(jax.random.key(0), (4, 16))
    archs = np.asarray(jax.jit(jax.vmap(jax.vmap(space.random)))(keys))
    for quantity in QUANTITIES:
        exact = quantity(table, archs)
        assert (exact.dtype, exact.shape) == (np.int64, (4, 16))
        counted = jax.jit(functools.partial(quantity, table))(archs)
        assert counted.dtype == jnp.int32
        np.testing.assert_array_equal(counted, exact)
    one = jax.jit(jax.vmap(functools.partial(costs.params, table)))(archs[0])
    np.testing.assert_array_equal(one, costs.params(table, archs[0]))
    # As an argument of jit, too.
    np.testing.assert_array_equal(jax.jit(costs.flops)(table, archs), exact)


def test_what_int32_cannot_hold_is_refused():
    table = network(SPACE, channels=64)
    arch = published("PC_DARTS_cifar")
    arch = genotypes.to_arch(genotypes.from_arch(arch, WITH_NONE), SPACE)
    exact = costs.flops(table, arch)
    assert exact > 2**31
    with pytest.raises(ValueError, match=r"costs up to \d{10} need NumPy"):
        jax.jit(functools.partial(costs.flops, table))(arch)
    with pytest.raises(ValueError, match="need NumPy"):
        costs.flops(table, jnp.asarray(arch))
    with jax.enable_x64(True):
        assert int(jax.jit(functools.partial(costs.flops, table))(arch)) == exact


def test_costs_refuse_other_shapes():
    with pytest.raises(AssertionError):
        costs.params(network(SPACE), np.zeros(14, np.uint8))
    with pytest.raises(IndexError):
        costs.params(network(SPACE), np.full((2, 14), 8))


@pytest.mark.parametrize(
    "build, says",
    [
        (lambda: costs.darts_network(NB201), "not those of nas-bench-201"),
        (lambda: costs.supernet_parameters(NB201), "not those of nas-bench-201"),
        (lambda: costs.darts_network(SPACE, stem="svhn"), "allowed are cifar, imagen"),
        (lambda: costs.darts_network(SPACE, image_size=3), "3 x 3 pixels.*at least 4"),
        (lambda: costs.darts_network(SPACE, image_size=(8, 0)), "is .8, 0.; allowed"),
        (lambda: costs.darts_network(SPACE, cells=0), "0 cells"),
        (
            lambda: costs.darts_network(SPACE, stem="imagenet", channels=15),
            "even channels",
        ),
        (
            lambda: costs.darts_network(SPACE, stem="imagenet", image_size=(48, 31)),
            "48 x 31 pixels.*5 times",
        ),
        (lambda: costs.supernet_parameters(SPACE, partial=3), "16 channels.* 3 parts"),
        (lambda: costs.nb201_network(image_size=(4, 3)), "4 x 3 pixels.*at least 4"),
        (lambda: costs.nb201_network(channels=0), "0 channels"),
    ],
)
def test_errors(build, says):
    with pytest.raises(ValueError, match=says):
        build()
