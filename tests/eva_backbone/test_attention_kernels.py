"""Every kernel equals eager attention, including gradients."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch._dynamo.backends.debugging import aot_eager

from eva_backbone import attention_kernels
from eva_backbone import chunked_attention as chunked
from eva_backbone.attention_kernels import KERNELS, choose_kernel, eager_attention
from eva_backbone.relative_position import DecomposedBias

BATCH, HEADS, GRID, DIM = 2, 3, (4, 5), 8
TOKENS = GRID[0] * GRID[1]


def make_bias(kind: str, dtype: torch.dtype):
    if kind == "none":
        return None, []
    shape = {
        "dense": (HEADS, TOKENS, TOKENS),
        "dense per image": (BATCH, HEADS, TOKENS, TOKENS),
        "shared by heads": (BATCH, 1, TOKENS, TOKENS),
        "shared by queries": (BATCH, 1, 1, TOKENS),
        "shared by all": (TOKENS, TOKENS),
    }.get(kind)
    if shape:
        table = torch.randn(shape, dtype=dtype, requires_grad=True)
        return table, [table]
    terms = [torch.randn(BATCH, HEADS, TOKENS, side, dtype=dtype, requires_grad=True) for side in GRID]
    return DecomposedBias(*terms), terms


def run(kernel, inputs, bias, terms, cotangent):
    out = kernel(*inputs, DIM**-0.5, bias)
    return out, torch.autograd.grad(out, [*inputs, *terms], cotangent)


KINDS = pytest.mark.parametrize(
    "kind", ["none", "dense", "dense per image", "shared by heads", "shared by queries", "shared by all", "decomposed"]
)


@KINDS
@pytest.mark.parametrize(
    ("name", "chunk_bytes"),
    [("chunked", 1), ("chunked", 1000), ("chunked", 2**24), ("sdpa", None)],
    ids=["one row at a time", "ragged chunks", "one chunk", "sdpa"],
)
def test_kernel_equals_the_formula(name, kind, chunk_bytes, monkeypatch):
    monkeypatch.setattr(chunked, "CHUNK_BYTES", chunk_bytes)
    inputs = [torch.randn(BATCH, HEADS, TOKENS, DIM, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    bias, terms = make_bias(kind, torch.float64)
    cotangent = torch.randn(BATCH, HEADS, TOKENS, DIM, dtype=torch.float64)
    expected, expected_gradients = run(eager_attention, inputs, bias, terms, cotangent)
    out, gradients = run(KERNELS[name], inputs, bias, terms, cotangent)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    for gradient, reference in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["eager", "sdpa", "auto"])
def test_boolean_mask(name):
    """With a boolean mask for all heads, over more keys than queries, masked keys are as if they did not exist."""
    query = torch.randn(1, HEADS, 2, DIM, dtype=torch.float64)
    key, value = torch.randn(2, 1, HEADS, 5, DIM, dtype=torch.float64)
    allowed = torch.tensor([[True, False, True, True, False], [False, False, False, False, True]])
    expected = [
        eager_attention(query[:, :, i : i + 1], key[:, :, row], value[:, :, row], 0.3) for i, row in enumerate(allowed)
    ]
    bias = allowed[None, None]
    out = choose_kernel(name, query, bias)(query, key, value, 0.3, bias)
    torch.testing.assert_close(out, torch.cat(expected, dim=2), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["chunked", "flex", "xformers"])
def test_kernels_without_boolean_masks(name):
    with pytest.raises(ValueError, match=f"'{name}' does not support a boolean bias"):
        choose_kernel(name, torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1, dtype=torch.bool))


@KINDS
def test_flex_equals_the_formula(kind):
    """Forward only: eager FlexAttention has no backward pass on CPU."""
    inputs = [torch.randn(BATCH, HEADS, TOKENS, DIM) for _ in range(3)]
    bias, _ = make_bias(kind, torch.float32)
    bias = DecomposedBias(*(term.detach() for term in bias)) if kind == "decomposed" else bias
    bias = bias.detach() if isinstance(bias, torch.Tensor) else bias
    out = KERNELS["flex"](*inputs, DIM**-0.5, bias)
    torch.testing.assert_close(out, eager_attention(*inputs, DIM**-0.5, bias), rtol=0, atol=1e-5)


@KINDS
def test_xformers_gets_aligned_rows_of_the_bias(kind, monkeypatch):
    """A stand-in for the package with its layout and its requirement that rows start at multiples of 8 elements."""

    def memory_efficient_attention(query, key, value, *, attn_bias, scale):
        assert attn_bias is None or attn_bias.stride()[2:] == (-(-TOKENS // 8) * 8, 1)
        heads_first = [x.transpose(1, 2) for x in (query, key, value)]
        return eager_attention(*heads_first, scale, attn_bias).transpose(1, 2)

    package = SimpleNamespace(memory_efficient_attention=memory_efficient_attention)
    monkeypatch.setitem(sys.modules, "xformers", SimpleNamespace(ops=package))
    monkeypatch.setitem(sys.modules, "xformers.ops", package)
    inputs = [torch.randn(BATCH, HEADS, TOKENS, DIM, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    bias, terms = make_bias(kind, torch.float64)
    cotangent = torch.randn(BATCH, HEADS, TOKENS, DIM, dtype=torch.float64)
    expected, expected_gradients = run(eager_attention, inputs, bias, terms, cotangent)
    out, gradients = run(KERNELS["xformers"], inputs, bias, terms, cotangent)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(gradients, expected_gradients)


@pytest.mark.cuda
@KINDS
@pytest.mark.parametrize("name", ["sdpa", "flex", "xformers", "chunked"])
def test_kernel_equals_the_formula_on_cuda(name, kind):
    if name == "xformers":
        pytest.importorskip("xformers")
    inputs = [torch.randn(BATCH, HEADS, TOKENS, 16, device="cuda") for _ in range(3)]
    bias, _ = make_bias(kind, torch.float32)
    bias = DecomposedBias(*(term.detach().cuda() for term in bias)) if kind == "decomposed" else bias
    bias = bias.detach().cuda() if isinstance(bias, torch.Tensor) else bias
    out = KERNELS[name](*inputs, 0.25, bias)
    torch.testing.assert_close(out, eager_attention(*inputs, 0.25, bias), rtol=0, atol=1e-3)


def test_chunked_pass_gradcheck():
    inputs = [torch.randn(1, 2, 6, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    rel = [torch.randn(1, 2, 6, side, dtype=torch.float64, requires_grad=True) for side in (2, 3)]
    assert torch.autograd.gradcheck(
        lambda q, k, v, h, w: chunked.chunked_attention(q, k, v, 0.5, DecomposedBias(h, w)), [*inputs, *rel]
    )


@pytest.mark.parametrize("has_gradients", [True, False])
@pytest.mark.parametrize("kind", ["none", "dense", "decomposed"])
def test_half_precision_stays_close(kind, has_gradients):
    inputs = [torch.randn(BATCH, HEADS, TOKENS, DIM) for _ in range(3)]
    bias, _ = make_bias(kind, torch.float32)
    halved = DecomposedBias(*(term.bfloat16() for term in bias)) if kind == "decomposed" else bias
    expected = eager_attention(*inputs, DIM**-0.5, bias)
    halves = [x.bfloat16() for x in inputs]
    with torch.set_grad_enabled(has_gradients):
        out = choose_kernel("auto", halves[0], halved)(*halves, DIM**-0.5, halved)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", ["chunked", "sdpa", "eager"])
def test_a_float32_bias_gets_gradients_under_autocast(name):
    inputs = [torch.randn(BATCH, HEADS, TOKENS, DIM, dtype=torch.bfloat16, requires_grad=True) for _ in range(3)]
    bias, _ = make_bias("dense", torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        out = KERNELS[name](*inputs, 0.5, bias)
    assert torch.autograd.grad(out.float().square().sum(), bias)[0].dtype == torch.float32


@pytest.mark.parametrize(
    ("dtype", "kind", "expected"),
    [
        (torch.float32, "none", "sdpa"),
        (torch.float32, "decomposed", "chunked"),
        (torch.float32, "dense", "chunked"),
        (torch.bfloat16, "decomposed", "sdpa"),
    ],
)
def test_automatic_choice_on_cpu(dtype, kind, expected):
    bias, _ = make_bias(kind, dtype)
    assert choose_kernel("auto", torch.zeros(1, 1, 1, 1, dtype=dtype), bias) is KERNELS[expected]


def test_the_kernel_for_decomposed_biases_on_cuda_is_one_constant(monkeypatch):
    query = torch.zeros(1, 1, 1, 1, dtype=torch.bfloat16)
    decomposed, dense = (make_bias(kind, torch.bfloat16)[0] for kind in ("decomposed", "dense"))
    with attention_kernels.choose_kernels_for("cuda"):
        assert choose_kernel("auto", query, decomposed) is KERNELS["sdpa"]
        monkeypatch.setattr(attention_kernels, "CUDA_DECOMPOSED", "flex")
        assert choose_kernel("auto", query, decomposed) is KERNELS["flex"]
        assert choose_kernel("auto", query, dense) is KERNELS["sdpa"]


@KINDS
def test_the_operator_of_compiled_programs_equals_the_kernel(kind, monkeypatch):
    """The program calls the operator once, although the kernel computes several tiles."""
    monkeypatch.setattr(chunked, "CHUNK_BYTES", 1000)
    inputs = [torch.randn(BATCH, HEADS, TOKENS, DIM, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    bias, terms = make_bias(kind, torch.float64)
    programs = []

    def backend(program, example_inputs):
        programs.append(str(program.graph))
        return aot_eager(program, example_inputs)

    torch._dynamo.reset()
    compiled = torch.compile(chunked.chunked_attention, backend=backend, fullgraph=True)
    outputs = [attend(*inputs, 0.5, bias) for attend in (chunked.chunked_attention, compiled)]
    torch.testing.assert_close(outputs[1], outputs[0], rtol=0, atol=0)
    gradients = [torch.autograd.grad(out.square().sum(), [*inputs, *terms]) for out in outputs]
    torch.testing.assert_close(gradients[1], gradients[0])
    assert len(programs) == 1
    assert programs[0].count("eva_backbone.chunked_attention") == 1
    assert "bmm" not in programs[0]


@pytest.mark.parametrize(
    ("dtype", "kind", "expected"),
    [
        (torch.bfloat16, "none", "chunked"),
        (torch.bfloat16, "decomposed", "chunked"),
        (torch.float32, "none", "sdpa"),
    ],
)
def test_automatic_choice_on_cpu_without_gradients(dtype, kind, expected):
    bias, _ = make_bias(kind, dtype)
    with torch.no_grad():
        assert choose_kernel("auto", torch.zeros(1, 1, 1, 1, dtype=dtype), bias) is KERNELS[expected]


def test_unknown_kernel_is_named():
    with pytest.raises(ValueError, match="unknown attention kernel 'fast'"):
        choose_kernel("fast", torch.zeros(1), None)
