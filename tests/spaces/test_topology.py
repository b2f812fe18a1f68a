"""Width and depth of cells: published ones, and by following every path."""

import functools

import jax
import numpy as np
import pytest

from nasjax.spaces import darts, genotypes, nas_bench_201, table_space, topology

SPACE, WITH_NONE = darts(), darts(none=True)


# Shu et al. 2020 and the captions of Figs 3.8 and 3.9: normal, then reduction cell.
@pytest.mark.parametrize(
    "name, width, depth",
    [
        ("DARTS_V2", [3.5, 2.5], [3, 3]),
        ("PC_DARTS_cifar", [4.0, 2.5], [2, 4]),
        ("PC_DARTS_image", [3.0, 2.5], [4, 4]),
        ("PDARTS", [3.0, 3.0], [4, 4]),
        ("DDAS-NL", [2.5, 2.5], [4, 4]),
        ("DDAS-4S", [3.0, 2.0], [3, 5]),
    ],
)
def test_published_width_and_depth(name, width, depth):
    arch = genotypes.to_arch(genotypes.PUBLISHED[name], WITH_NONE)
    assert topology.width(WITH_NONE, arch).tolist() == width
    assert topology.depth(WITH_NONE, arch).tolist() == depth


def longest_path(space, row):
    """By following every path, from a cell input to the output."""
    ways = {}
    for (source, target), operation in zip(space.edges, row, strict=True):
        if operation < space.num_operations and space.operations[operation] != "none":
            ways.setdefault(source, []).append(target)

    def follow(node, length):
        ends = [length + 1] if node > 1 else [0]
        return max([*ends, *(follow(t, length + 1) for t in ways.get(node, []))])

    return max(follow(0, 0), follow(1, 0))


@pytest.mark.parametrize("space", [SPACE, WITH_NONE])
def test_width_and_depth_by_following_paths(space):
    keys = jax.random.split(jax.random.key(1), 300)
    archs = np.asarray(jax.jit(jax.vmap(space.random))(keys))
    if space is WITH_NONE:
        # Many `none`s, so that some nodes hang in the air.
        holes = np.random.default_rng(0).random(archs.shape) < 0.5
        archs = np.where(holes & (archs < 8), np.uint8(0), archs)
    width = jax.jit(functools.partial(topology.width, space))(archs)
    depth = jax.jit(jax.vmap(functools.partial(topology.depth, space)))(archs)
    assert (width.shape, depth.shape) == ((300, 2), (300, 2))
    wanted = [[longest_path(space, row) for row in arch] for arch in archs]
    np.testing.assert_array_equal(depth, wanted)
    # No path has one connection: it leads to a node, and from there to the output.
    assert set(np.unique(depth)) == {2, 3, 4, 5} | (
        {0} if space is WITH_NONE else set()
    )
    from_input = [edge for edge, (source, _) in enumerate(space.edges) if source < 2]
    holds = archs[..., from_input] < space.num_operations
    if space is WITH_NONE:
        holds &= archs[..., from_input] != 0
    np.testing.assert_array_equal(width, holds.sum(-1) / 2)
    if space is SPACE:
        assert 1 <= width.min() < width.max() == 4


def test_cells_without_a_path():
    for empty in (np.zeros((2, 14), np.uint8), np.full((2, 14), 8, np.uint8)):
        assert topology.width(WITH_NONE, empty).tolist() == [0, 0]
        assert topology.depth(WITH_NONE, empty).tolist() == [0, 0]
    for other in (nas_bench_201(), table_space(14, ("a", "b"))):
        for measure in (topology.width, topology.depth):
            with pytest.raises(ValueError, match="needs the cells of darts"):
                measure(other, np.zeros(other.arch_shape, np.uint8))


def test_live_edges_and_longest_paths_by_hand():
    """Cells of NAS-Bench-201, whose last node is the output."""
    cells = [
        # 1<-0 2<-0 2<-1 3<-0 3<-1 3<-2; 0 none, 1 skip, 2 and 3 convolutions, 4 a pool
        ([2, 0, 3, 0, 0, 4], [1, 0, 1, 0, 0, 1], 3),
        ([2, 4, 0, 0, 0, 3], [0, 1, 0, 0, 0, 1], 2),  # nothing reads node 1
        ([0, 1, 3, 1, 2, 1], [0, 1, 0, 1, 0, 1], 0),  # nothing reaches node 1
        ([1, 0, 2, 3, 0, 2], [1, 0, 1, 1, 0, 1], 2),
        ([2, 3, 2, 0, 0, 0], [0, 0, 0, 0, 0, 0], 0),
        ([2, 2, 2, 2, 5, 2], [1, 1, 1, 1, 0, 1], 3),  # an absent edge
    ]
    arch, live, depth = (np.array(x, np.uint8) for x in zip(*cells, strict=True))
    space = nas_bench_201()
    np.testing.assert_array_equal(topology.live(space, arch), live)
    np.testing.assert_array_equal(
        topology.operations_in_sequence(space, arch), depth[:, None]
    )


def test_every_reached_node_of_darts_is_an_output():
    arch = np.full((2, 14), 8, np.uint8)  # all absent
    arch[0, [0, 2]] = 4, 5  # 2<-0, 3<-0
    arch[1, [4, 13]] = 4, 3  # 3<-2, 5<-4, which nothing reaches
    live = np.asarray(topology.live(WITH_NONE, arch))
    assert np.flatnonzero(live).tolist() == [0, 2]
    arch[0, 4], arch[1, 0] = 3, 7  # node 2 leads on to node 3
    assert topology.operations_in_sequence(WITH_NONE, arch).tolist() == [1, 2]
