"""Genotypes: the printed form and JSON both ways, arrays both ways, what is refused."""

import json

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasjax.spaces import darts, genotypes, nas_bench_201
from nasjax.spaces.genotypes import Genotype

SPACE, WITH_NONE = darts(), darts(none=True)
# As the DARTS, PC-DARTS and P-DARTS repositories print them: the fields in this order,
# concat as a list or a range, spaces as they come.
DARTS_V2 = """Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1),
('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0),
('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5],
reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2),
('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2),
('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"""
PDARTS = (
    "Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1), ('skip_connect', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('sep_conv_3x3', 3), "
    "('sep_conv_3x3', 0), ('dil_conv_5x5', 4)], normal_concat=range(2, 6), "
    "reduce=[('avg_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 0), "
    "('dil_conv_5x5', 2), ('max_pool_3x3', 0), ('dil_conv_3x3', 1), "
    "('dil_conv_3x3', 1), ('dil_conv_5x5', 3)], reduce_concat=range(2, 6))"
)


@st.composite
def written(draw, space=WITH_NONE):
    """Any genotype, its pairs in any order."""

    def cell():
        pairs = []
        for node in range(4):
            sources = draw(
                st.lists(st.integers(0, node + 1), min_size=2, max_size=2, unique=True)
            )
            pairs += [(draw(st.sampled_from(space.operations)), s) for s in sources]
        return tuple(pairs)

    return Genotype(cell(), (2, 3, 4, 5), cell(), (2, 3, 4, 5))


def by_node(genotype):
    """The genotype as sets: the order of a node's two pairs says nothing."""
    return [
        [frozenset(pairs[node : node + 2]) for node in range(0, 8, 2)]
        for pairs in (genotype.normal, genotype.reduce)
    ]


def test_the_original_form():
    published = genotypes.PUBLISHED
    assert genotypes.parse(PDARTS) == published["PDARTS"]
    assert str(published["PDARTS"]) == PDARTS
    assert genotypes.parse(DARTS_V2) == published["DARTS_V2"]
    spaced = DARTS_V2.replace("=", " =\n  ").replace(", ", " ,\t")
    assert genotypes.parse(f"\n  {spaced}\n") == published["DARTS_V2"]
    tuples = PDARTS.replace("[", "(").replace("]", ")")
    assert genotypes.parse(tuples) == published["PDARTS"]


@given(written())
def test_text_and_json_come_back(genotype):
    assert genotypes.parse(str(genotype)) == genotype
    assert genotypes.parse(repr(genotype)) == genotype
    document = genotypes.to_json(genotype)
    assert genotypes.parse(document) == genotype
    assert genotypes.parse(json.dumps(document, indent=2)) == genotype


def test_json_by_hand():
    document = genotypes.to_json(genotypes.PUBLISHED["DDAS-4S"])
    assert list(document) == ["normal", "normal_concat", "reduce", "reduce_concat"]
    assert document["normal"][:2] == [["avg_pool_3x3", 0], ["none", 1]]
    assert document["reduce_concat"] == [2, 3, 4, 5]


def test_published():
    assert list(genotypes.PUBLISHED) == [
        *("DARTS_V1", "DARTS_V2", "PC_DARTS_cifar", "PC_DARTS_image", "PDARTS"),
        *("DDAS-NL", "DDAS-4S"),
    ]
    for genotype in genotypes.PUBLISHED.values():
        assert genotypes.parse(str(genotype)) == genotype


def test_arrays_by_hand():
    arch = genotypes.to_arch(genotypes.PUBLISHED["DDAS-4S"], WITH_NONE)
    assert arch.dtype == np.uint8
    # none max avg skip sep3 sep5 dil3 dil5 = 0..7, absent = 8:
    # A-0 none-1 | K-0 S3-1 | M-0 D3-1 | S5-0 M-3
    normal = [[2, 0], [3, 4, 8], [1, 6, 8, 8], [5, 8, 8, 1, 8]]
    # A-0 S3-1 | S3-0 D5-2 | K-1 D3-3 | none-1 D3-4
    reduction = [[2, 4], [4, 8, 7], [8, 3, 8, 6], [8, 0, 8, 8, 6]]
    for row, nodes in zip(arch, (normal, reduction), strict=True):
        np.testing.assert_array_equal(row, np.concatenate(nodes))
    # Without `none` every operation is one lower, absent is 7. S3-1 S3-0 in either
    # order: the edge says which.
    arch = genotypes.to_arch(genotypes.PUBLISHED["DARTS_V1"], SPACE)
    assert arch[0].tolist() == [3, 3, 2, 3, 7, 2, 3, 7, 7, 3, 7, 2, 7, 7]


@given(written())
def test_arrays_come_back(genotype):
    arch = genotypes.to_arch(genotype, WITH_NONE)
    again = genotypes.from_arch(arch, WITH_NONE)
    assert by_node(again) == by_node(genotype)
    np.testing.assert_array_equal(genotypes.to_arch(again, WITH_NONE), arch)


@pytest.mark.parametrize("space", [SPACE, WITH_NONE])
def test_what_the_space_draws_comes_back(space):
    draw = jax.jit(space.random)
    for seed in range(20):
        arch = np.asarray(draw(jax.random.key(seed)))
        genotype = genotypes.parse(str(genotypes.from_arch(arch, space)))
        np.testing.assert_array_equal(genotypes.to_arch(genotype, space), arch)


def test_load(tmp_path):
    wanted = genotypes.PUBLISHED["PDARTS"]
    text, document = tmp_path / "genotype.txt", tmp_path / "genotype.json"
    text.write_text(PDARTS + "\n")
    document.write_text(json.dumps(genotypes.to_json(wanted)))
    for source in ("PDARTS", text, str(text), document, PDARTS, document.read_text()):
        assert genotypes.load(source) == wanted
    text.write_text("Genotype()")
    with pytest.raises(ValueError, match=r"genotype\.txt: a genotype has normal, "):
        genotypes.load(text)


@pytest.mark.parametrize("source", ["pdarts", "no/such/file", "x" * 5_000, "\0", ""])
def test_load_lists_the_names(source):
    with pytest.raises(ValueError, match="names are DARTS_V1, DARTS_V2, PC_DARTS_c"):
        genotypes.load(source)


def changed(**fields):
    return str(genotypes.PUBLISHED["PDARTS"]._replace(**fields))


def normal(index, pair):
    pairs = list(genotypes.PUBLISHED["PDARTS"].normal)
    pairs[index] = pair
    return changed(normal=tuple(pairs))


@pytest.mark.parametrize(
    "text, says",
    [
        (normal(0, ("sep_conv_7x7", 0)), "normal cell, node 0: operation 'sep_conv_7x"),
        (normal(0, ("sep_conv_7x7", 0)), "allowed are none, max_pool_3x3, avg"),
        (normal(0, ("skip_connect", 2)), "node 0: predecessor 2, allowed are 0..1"),
        (normal(7, ("skip_connect", 5)), "node 3: predecessor 5, allowed are 0..4"),
        (normal(7, ("skip_connect", -1)), "node 3: predecessor -1, allowed"),
        (normal(7, ("skip_connect", 0)), "node 3: predecessor 0 twice"),
        (normal(0, ("skip_connect", True)), "not a pair of an operation"),
        (normal(0, ("skip_connect", 0.0)), "not a pair of an operation"),
        (normal(0, ("skip_connect",)), "not a pair of an operation"),
        (normal(0, (3, 0)), "not a pair of an operation"),
        (changed(normal=()), "normal has 0 pairs: 8"),
        (changed(reduce=genotypes.PUBLISHED["PDARTS"].reduce[:6]), "reduce has 6"),
        (changed(reduce_concat=(2, 3, 4)), r"reduce_concat is .* \(2, 3, 4, 5\)"),
        (PDARTS.replace("range(2, 6)", "range(10**12)"), "neither a list nor a range"),
        (PDARTS.replace("range(2, 6)", f"range({10**15})"), "normal_concat is"),
        (PDARTS.replace("range(2, 6)", "range()"), "neither a list nor a range"),
        (PDARTS.replace("range(2, 6)", "3"), "normal_concat is not a list: 3"),
        (PDARTS.replace("range(2, 6)", "'2345'"), "normal_concat is not a list"),
        (PDARTS.replace("reduce=", "reduction="), "a genotype has normal.*reduction"),
        (PDARTS.replace("Genotype", "Phenotype"), r"no Genotype\(...\)"),
        (PDARTS[:-1], "no genotype"),
        ("Genotype([], [], [], [])", "takes its fields by name"),
        ("Genotype(**{})", "a genotype has normal"),
        ("(" * 5_000, "no genotype"),
        ("", "no genotype"),
        ('{"normal": [', "no JSON"),
        ('{"normal": []}', "a genotype has normal, normal_concat"),
    ],
)
def test_parse_errors(text, says):
    with pytest.raises(ValueError, match=says):
        genotypes.parse(text)


def test_nothing_is_evaluated(tmp_path):
    touched = tmp_path / "touched"
    call = f"__import__('pathlib').Path({str(touched)!r}).touch()"
    for text in (PDARTS.replace("range(2, 6)", call), PDARTS.replace("2", call), call):
        with pytest.raises(ValueError):
            genotypes.parse(text)
    assert not touched.exists()


def test_space_errors():
    ddas = genotypes.PUBLISHED["DDAS-4S"]
    with pytest.raises(ValueError, match="node 0: operation 'none', allowed are max_p"):
        genotypes.to_arch(ddas, SPACE)
    with pytest.raises(ValueError, match="not those of nas-bench-201"):
        genotypes.to_arch(ddas, nas_bench_201())
    with pytest.raises(ValueError, match="not those of nas-bench-201"):
        genotypes.from_arch(np.zeros(6, np.uint8), nas_bench_201())
    with pytest.raises(ValueError, match="normal_concat is"):
        genotypes.to_arch(ddas._replace(normal_concat=(4, 5)), WITH_NONE)
    arch = genotypes.to_arch(ddas, WITH_NONE)
    with pytest.raises(ValueError, match=r"allowed is \(2, 14\)"):
        genotypes.from_arch(arch[0], WITH_NONE)
    arch[1, 2] = 8
    with pytest.raises(ValueError, match=r"nodes 0-3 \[2, 1, 2, 2\] in-edges"):
        genotypes.from_arch(arch, WITH_NONE)
