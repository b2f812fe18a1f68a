"""Parsers, costs and the model of compiled GPU programs, on hand-written dumps."""

import dataclasses
import textwrap

import pytest

from nasjax.analysis.gpu import card, costs, hlo, model, thunks

HLO = """
HloModule jit_f, is_scheduled=true, entry_computation_layout={(f32[8,16]{1,0})->f32[8]}

FileNames
1 "f.py"

%stencil (p: f32[8,16]) -> f32[8,14] {
  %p = f32[8,16]{1,0} parameter(0)
  %zero = f32[] constant(0)
  %exp.1 = f32[8,16]{1,0} exponential(%p)
  %pad.1 = f32[8,18]{1,0} pad(%exp.1, %zero), padding=0_0x1_1
  %left = f32[8,14]{1,0} slice(%pad.1), slice={[0:8], [0:14]}
  %right = f32[8,14]{1,0} slice(%pad.1), slice={[0:8], [2:16]}
  ROOT %add.1 = f32[8,14]{1,0} add(%left, %right)
}

%add_floats (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%reduced (q: bf16[8,14]) -> f32[8] {
  %q = bf16[8,14]{1,0} parameter(0)
  %wide = f32[8,14]{1,0} convert(%q)
  %none = f32[] constant(0)
  ROOT %reduce.1 = f32[8]{0} reduce(%wide, %none), dimensions={1}, to_apply=%add_floats
}

%multiplied (x: f32[8,16], y: f32[16,4]) -> f32[8,4] {
  %x = f32[8,16]{1,0} parameter(0)
  %y = f32[16,4]{1,0} parameter(1)
  ROOT %dot.1 = f32[8,4]{1,0} dot(%x, %y), lhs_contracting_dims={1}, OPERAND_PRECISION
}

%placed (whole: f32[9,8,4], part: f32[1,8,4], at: s32[]) -> f32[9,8,4] {
  %whole = f32[9,8,4]{2,1,0} parameter(0)
  %part = f32[1,8,4]{2,1,0} parameter(1)
  %at = s32[] parameter(2)
  ROOT %dus = f32[9,8,4]{2,1,0} dynamic-update-slice(%whole, %part, %at, %at, %at)
}

%product_of_a_slice (batch: f32[5,8,16], right: f32[16,4]) -> f32[8,4] {
  %batch = f32[5,8,16]{2,1,0} parameter(0)
  %right = f32[16,4]{1,0} parameter(1)
  %row = f32[1,8,16]{2,1,0} slice(%batch), slice={[2:3], [0:8], [0:16]}
  %flat = f32[8,16]{1,0} bitcast(%row)
  ROOT %call = f32[8,4]{1,0} custom-call(%flat, %right), \
custom_call_target="__cublas$gemm", backend_config={"gemm_backend_config":{\
"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"]}}}
}

%body (state.1: (s32[], f32[8,16])) -> (s32[], f32[8,16]) {
  %state.1 = (s32[], /*index=1*/f32[8,16]{1,0}) parameter(0)
  %copy.1 = f32[8,16]{1,0} copy(%state.1#1)
  ROOT %tuple.1 = (s32[], f32[8,16]{1,0}) tuple(%state.1#0, %copy.1)
}

%condition (state.2: (s32[], f32[8,16])) -> pred[] {
  %state.2 = (s32[], f32[8,16]{1,0}) parameter(0)
  ROOT %wrapped_compare = pred[] compare(%state.2#0, %state.2#0), direction=LT
}

ENTRY %main (input: f32[8,16], s: s32[]) -> f32[8] {
  %input = f32[8,16]{1,0} parameter(0), metadata={op_name="x"}
  %s = s32[] parameter(1)
  %start = (s32[], f32[8,16]{1,0}) tuple(%s, %input)
  %while.1 = (s32[], f32[8,16]{1,0}) while(%start), condition=%condition, body=%body
  %while.2 = (s32[], f32[8,16]{1,0}) while(%while.1), condition=%condition, \
body=%body, backend_config={"known_trip_count":{"n":"7"},"dynamic":[]}
  %loop_add = f32[8,14]{1,0} fusion(%while.2#1), kind=kLoop, calls=%stencil, \
metadata={op_name="jit(f)/taps (two)"}
  %image = bf16[2,8,8,3]{3,2,1,0} constant({...})
  %kernel = bf16[3,3,3,5]{3,2,1,0} constant({...})
  %conv = (bf16[2,8,8,5]{3,2,1,0}, u8[0]{0}) custom-call(%image, %kernel), \
window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_01io->b01f, \
custom_call_target="__cudnn$convForward"
  %gemm = (f32[8,8]{1,0}, s8[64]{0}) custom-call(%input, %input), \
custom_call_target="__cublas$gemm", backend_config={"gemm_backend_config":{\
"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"]},\
"precision_config":{"operand_precision":["HIGHEST","HIGHEST"]}}}
  %tiles = (bf16[8,16]{1,0}, f32[2,16]{1,0}) custom-call(%input), \
custom_call_target="__gpu$xla.gpu.triton", backend_config={grid_x = 1 : i32, \
ir = "ML\\EF\\0D", serialized_metadata = "{\\22instructions\\22: \\221234\\22}"}
  %silent = f32[8,16]{1,0} custom-call(%input), \
custom_call_target="__gpu$xla.gpu.triton", backend_config={ir = "ML"}
  ROOT %input_reduce = f32[8]{0} fusion(%loop_add), kind=kInput, calls=%reduced
}
"""

# As XLA prints them: a condition as far left as its loop, a body two columns further.
SEQUENCE = """\
001: kCopy         [source       | next=003 (2)] kCopy
003: kWhile        [prev=002 (1) | next=011 (1)]
condition:
    004: kCustomKernel [source | sink] wrapped_compare grid: [1, 1, 1]
  body:
    000: kCommandBuffer [source | sink]
        005: kCustomKernel [source       | next=006 (1)] loop_add grid: [1, 1, 1]
        009: kConditional  [prev=005 (2) | next=010 (1)]
          branch_0:
            007: kCustomKernel [source | sink] gemm grid: [32, 1, 1]
          branch_1:
            008: kCustomKernel [source | sink] loop_add grid: [32, 1, 1]
            013: kCustomKernel [source | sink] loop_add grid: [32, 1, 1]
        010: kCopy         [prev=009 (1) | sink        ] kCopy
    014: kConditional  [prev=005 (2) | next=010 (1)]
      false_branch:
        015: kCopy     [source | sink] kCopy
      true_branch:
011: kWhile        [prev=003 (1) | sink]
condition:
    016: kCustomKernel [source | sink] wrapped_compare grid: [1, 1, 1]
  body:
    012: kAsyncStart [source | sink]
        017: kGemm     [source | sink] gemm
    018: kAsyncDone    [source | sink]
"""
NAMES = {
    **{1: "copy.9", 3: "while.1", 4: "wrapped_compare", 5: "loop_add", 7: "gemm"},
    **{8: "loop_add", 9: "cond", 11: "while.2", 13: "loop_add", 16: "wrapped_compare"},
    **{17: "gemm"},
}
METADATA = "".join(
    f'thunk_metadata {{\n  thunk_info {{\n    profile_annotation: "{name}"\n'
    f"    thunk_id: {number}\n  }}\n}}\n"
    for number, name in NAMES.items()
)


@pytest.fixture(scope="module")
def module():
    return hlo.Module(HLO)


def test_shapes_are_read_with_their_sizes():
    arrays = hlo.shape("(f32[2,3]{1,0:T(8)}, pred[], s4[5], bf16[<=7]{0}, token[])")
    assert [a.dtype for a in arrays] == ["f32", "pred", "s4", "bf16", "token"]
    assert [a.bytes for a in arrays] == [24, 1, 5, 14, 0]
    assert hlo.elements(arrays) == 6 + 1 + 5 + 7 + 1


def test_hlo_is_read(module):
    assert module.entry == "main"
    loop = module.find("while.2")
    assert loop.trip_count == 7 and module.find("while.1").trip_count is None
    assert module.find("exp.1") is None  # it lies inside a fusion
    fusion = module.find("loop_add")
    assert (fusion.calls, fusion.op_name) == ("stencil", "jit(f)/taps (two)")
    assert fusion.operands == (hlo.Operand("while.2", 1),)
    assert module.operand_shape("loop_add", 0) == (hlo.Array("f32", (8, 16)),)
    assert module.find("conv").target == "__cudnn$convForward"
    with pytest.raises(ValueError, match="no entry"):
        hlo.Module("HloModule nothing")


def test_a_fused_stencil_tests_its_padding_at_every_tap(module):
    cost = costs.cost(module, "loop_add")
    n = 8 * 14
    # Two taps: each evaluates the padding and, inside, the exponential again.
    inside = 2 * n * 16 / 18
    assert cost.instructions == pytest.approx(n + 2 * n * 10 + inside * 8)
    assert cost.loads == pytest.approx(inside)
    assert cost.bytes == 4 * (8 * 16 + n)
    assert (cost.kind, cost.products) == ("loop", {})


def test_a_reduction_reads_all_and_writes_little(module):
    cost = costs.cost(module, "input_reduce")
    assert cost.kind == "reduction"
    assert cost.bytes == 2 * 8 * 14 + 4 * 8
    assert cost.instructions == 2 * 8 * 14  # conversions and additions
    assert cost.loads == 8 * 14


def test_library_calls_are_products(module):
    convolution, product = (costs.cost(module, name) for name in ("conv", "gemm"))
    assert convolution.products == {"bf16": 2 * 2 * 8 * 8 * 5 * 9 * 3}
    assert product.products == {"f32": 2 * 8 * 8 * 16}  # it asks for full precision
    assert (convolution.kind, product.kind) == ("convolution", "product")
    assert costs.cost(module, "not there") == costs.Cost("unknown")


def test_a_pallas_kernel_moves_its_arrays_once(module):
    """Its instructions count if it states them; it is bound by memory otherwise."""
    tiles, silent = (costs.cost(module, name) for name in ("tiles", "silent"))
    assert tiles.bytes == 4 * 8 * 16 + 2 * 8 * 16 + 4 * 2 * 16
    assert silent.bytes == 2 * 4 * 8 * 16
    assert (tiles.instructions, silent.instructions) == (1234, 0)
    assert (tiles.kind, silent.kind) == ("pallas", "pallas")


@pytest.mark.parametrize(
    ("target", "flops"),
    (
        ("BackwardInput", 2 * (2 * 8 * 8 * 3) * 9 * 3),
        ("BackwardFilter", 2 * (3 * 3 * 3 * 5) * 9 * 8),
    ),
)
def test_gradients_of_convolutions_are_counted(target, flops):
    """By whichever operand is the image: a shape of each direction is enough."""
    text = HLO.replace("convForward", f"conv{target}")
    (number,) = costs.cost(hlo.Module(text), "conv").products.values()
    assert number == flops


@pytest.mark.parametrize(
    ("precision", "named"),
    (
        ("operand_precision={highest,highest}", ["call"]),
        ("metadata={}", ["call", "dot.1"]),
    ),
)
def test_products_that_round_to_tf32_are_named(precision, named):
    text = HLO.replace("OPERAND_PRECISION", precision)
    assert sorted(hlo.reduced_products(hlo.Module(text))) == named
    half = text.replace("f32[8,16]", "bf16[8,16]")
    assert hlo.reduced_products(hlo.Module(half)) == []


def fusion_of(module, name, kind="Loop"):
    caller = hlo.Instruction(name, "fusion", (), (), f"kind=k{kind}, calls=%{name}")
    return costs.Fusion(module.computations[name], caller)


def test_an_update_in_place_moves_the_part_alone(module):
    cost = fusion_of(module, "placed").cost()
    assert cost.bytes == 2 * 4 * 8 * 4 + 4  # part read and written, and its place


def test_a_library_call_on_a_slice_reads_the_slice(module, h100):
    cost = fusion_of(module, "product_of_a_slice", "Custom").cost()
    assert cost.products == {"tf32": 2 * 8 * 4 * 16} and cost.kind == "product"
    assert cost.bytes == 4 * (8 * 16 + 16 * 4 + 8 * 4)
    # The library call has no name of its own.
    call = thunks.Thunk("kGemm", "", "kGemm")
    wrapped = thunks.Thunk("kDynamicSliceFusion", "gemm", "", {"": [call]})
    assert model.count(module, [wrapped], h100).by_kind == {"product": 1}


def test_a_kernel_of_tiles_computes_each_element_once(module):
    cost = fusion_of(module, "multiplied", "Custom").cost()
    assert cost.products == {"tf32": 2 * 8 * 4 * 16}
    assert cost.loads == 8 * 16 + 16 * 4
    assert fusion_of(module, "stencil", "Custom").evaluations()["exp.1"] == 8 * 16


def test_thunks_are_nested_as_they_are_printed():
    copy, first, second = thunks.parse(SEQUENCE, METADATA)
    assert (copy.kind, copy.name, copy.text) == ("kCopy", "copy.9", "kCopy")
    graph, conditional = first.sections["body"]
    assert [t.kind for t in graph.sections[""]] == [
        *("kCustomKernel", "kConditional", "kCopy")
    ]
    assert graph.name == ""  # number 0 is every graph's
    branches = graph.sections[""][1].sections
    assert [len(branch) for branch in branches.values()] == [1, 2]
    assert {k: len(v) for k, v in conditional.sections.items()} == {
        "false_branch": 1,
        "true_branch": 0,
    }
    assert [t.name for t in second.sections["condition"]] == ["wrapped_compare"]
    with pytest.raises(ValueError, match="no thunk sequence"):
        thunks.parse("nothing")


def test_counts_multiply_loops_and_average_branches(module, h100):
    sequence = thunks.parse(SEQUENCE, METADATA)
    counts = model.count(module, sequence, h100, trips=[3])
    # A copy; 3 rounds of graph (2 kernels and a mean of 1.5) and half a copy, 4
    # conditions; 7 products, whose condition XLA knows.
    assert counts.kernels == 1 + 3 * (2 + 1.5 + 0.5) + 4 + 7
    assert counts.syncs == 4 + 3  # conditions of the loop, and a conditional outside
    assert counts.graphs == 3 and counts.conditionals == 3
    assert counts.loose_loops == 1 and not counts.open_loops
    assert counts.by_kind["product"] == 7 + 3 * 0.5
    first = model.count(module, sequence, h100, [3], {2: [1, 0]})
    assert first.by_kind["product"] == 7 + 3
    unknown = model.count(module, sequence, h100)
    assert unknown.open_loops == ["while.1"] and unknown.syncs == 2 + 1


def test_a_loop_inside_a_graph_does_not_wait(module, h100):
    sequence = thunks.parse(SEQUENCE)
    for thunk, name in zip(sequence[1:], ("while.1", "while.2"), strict=True):
        thunk.name = name
    graph = thunks.Thunk("kCommandBuffer", "", "", {"": sequence})
    counts = model.count(module, [graph], h100, [3])
    assert counts.syncs == 0
    # 3 + 7 iterations, and the two conditionals of each of the three.
    assert counts.conditionals == 3 + 7 + 3 + 3


def test_time_is_bound_by_the_slowest_resource(h100):
    usual = model.CASES["usual"]

    def bound(**kwargs):
        return model.kernel_seconds(costs.Cost("", **kwargs), h100, usual, True)

    assert bound() == (usual.node, "launches")
    seconds, reason = bound(bytes=3.35232e9)
    assert reason == "memory"
    assert seconds == pytest.approx(1e-6 + 1e-3 / 0.85)
    assert bound(instructions=1e10)[1] == "instructions"
    assert bound(loads=1e10)[1] == "instructions"
    slow, reason = bound(products={"f32": 1e12})
    fast, _ = bound(products={"bf16": 1e12})
    assert reason == "matrix products" and slow > 10 * fast
    cached, _ = bound(bytes=2e7)
    assert cached < 1e-6 + 2e7 / h100.bandwidth


def test_cases_are_ordered():
    fast, usual, slow = (dataclasses.asdict(c) for c in model.CASES.values())
    for name in ("kernel", "node", "graph", "condition", "branch", "ramp"):
        assert fast[name] <= usual[name] <= slow[name]
    for name in ("memory", "cache", "issue", "matrix"):
        assert fast[name] >= usual[name] >= slow[name]


def test_the_card_is_read_from_its_description(h100, tmp_path):
    assert h100.bandwidth == 3.35232e12 and h100.cache == 50 * 2**20
    assert h100.products["bf16"] == pytest.approx(989e12, rel=1e-3)
    assert h100.products["tf32"] == pytest.approx(495e12, rel=1e-2)
    assert h100.products["f32"] == pytest.approx(66.9e12, rel=1e-2)
    other = tmp_path / "card.txtpb"
    other.write_text(card.description("h100").replace("H100 80GB", "B000"))
    assert card.Card.read(card.description(str(other))).name == "NVIDIA B000 HBM3"
    with pytest.raises(ValueError, match="no core_count"):
        card.Card.read(textwrap.dedent('name: "nothing"'))
    with pytest.raises(ValueError, match="no such file; targets by name: h100"):
        card.description("h1000")
