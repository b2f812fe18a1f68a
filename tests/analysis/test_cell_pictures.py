"""Pictures of cells: the file is there, and shows what the architecture holds."""

from collections import Counter

import jax
import matplotlib
import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from nasjax.analysis import plots
from nasjax.spaces import darts, genotypes, nas_bench_201

SPACE, NB201 = darts(none=True), nas_bench_201()
DDAS = genotypes.to_arch(genotypes.PUBLISHED["DDAS-4S"], SPACE)


def drawn(space, row, title=""):
    """Axes with one cell, and its texts, laid out."""
    figure = Figure(figsize=(8, 5), dpi=100)
    axis = figure.subplots()
    plots.cell(axis, space, row, title)
    figure.draw_without_rendering()
    return axis, [text for text in axis.texts if text.get_text()]


def operations(space, row):
    return Counter(space.operations[o] for o in row if o < space.num_operations)


@pytest.mark.parametrize(
    "space, row, names",
    [
        (SPACE, DDAS[0], ["$c_{k-2}$", "$c_{k-1}$", "0", "1", "2", "3", "$c_k$"]),
        (SPACE, DDAS[1], ["$c_{k-2}$", "$c_{k-1}$", "0", "1", "2", "3", "$c_k$"]),
        (NB201, np.array([3, 0, 1, 2, 4, 3], np.uint8), ["in", "n1", "n2", "out"]),
    ],
    ids=["normal", "reduction", "nas-bench-201"],
)
def test_every_operation_and_node_is_written_once(space, row, names):
    axis, texts = drawn(space, row, "a title")
    written = Counter(text.get_text() for text in texts)
    assert written == operations(space, row) + Counter(names)
    assert axis.get_title() == "a title"


@pytest.mark.parametrize("space", [SPACE, NB201], ids=lambda space: space.name)
def test_no_label_is_over_another(space):
    draw = jax.jit(space.random)
    for seed in range(5):
        arch = np.asarray(draw(jax.random.key(seed))).reshape(space.cells, -1)
        for row in arch:
            _, texts = drawn(space, row)
            boxes = [text.get_window_extent() for text in texts]
            for index, box in enumerate(boxes):
                assert not any(box.overlaps(other) for other in boxes[:index])


def test_none_is_dotted_grey_and_no_other_edge_is():
    axis, _ = drawn(SPACE, DDAS[1])
    dotted = [line for line in axis.lines if line.get_linestyle() == ":"]
    assert [line.get_color() for line in dotted] == ["0.55"]
    # Eight edges, and four ways from a node to the output.
    assert len(axis.lines) == 12


def test_cells_are_captioned_with_width_and_depth(tmp_path):
    path = tmp_path / "cells.svg"
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        plots.cells(path, SPACE, DDAS, "DDAS-4S")
    svg = path.read_text()
    for text in ("DDAS-4S", "normal cell: 3c / 3", "reduction cell: 2c / 5"):
        assert svg.count(f">{text}<") == 1
    for name, count in operations(SPACE, DDAS.flat).items():
        assert svg.count(f">{name}<") == count


def test_a_space_of_one_cell(tmp_path):
    path = tmp_path / "cell.png"
    plots.cells(path, NB201, np.array([3, 0, 1, 2, 4, 3], np.uint8))
    pixels = matplotlib.image.imread(path)
    assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) > 10


def test_other_shapes_are_refused(tmp_path):
    with pytest.raises(AssertionError):
        plots.cells(tmp_path / "no.png", SPACE, DDAS[0])
    with pytest.raises(AssertionError):
        plots.cell(None, SPACE, DDAS)
