"""Forward passes of the detection backbones in bfloat16: stock Detectron2's ViT, and ours with each kernel."""

from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.harness.figure import Figure
from benchmarks.harness.matrix_rate import forward_operations
from eva_backbone.attention_kernels import KernelName

from .bench import Bench
from .contenders import Amount, Measured, Run, compare
from .detector_models import (
    KERNELS,
    RECIPES,
    build_own,
    build_stock,
    compile_blocks,
    load_recipe,
    on_device,
    sides,
    use_kernel,
)

PEER = "stock Detectron2"


def run(bench: Bench) -> None:
    """Measure every size, first without compilation, which takes little time, then with it."""
    rate = bench.matrix_rate("bfloat16")
    bench.record(Figure("large matrix products, bfloat16", "rate", "TFLOP/s", rate / 1e12))
    cases = {}
    for name in RECIPES:
        for side in sides(bench.tiny):
            cases[f"{name} backbone, {side} px"] = load_recipe(name, side, bench.tiny).model.backbone.net
    theirs = {title: _measure_kernels(bench, title, options) for title, options in cases.items()}
    for title, options in cases.items():
        _measure_compiled(bench, title, options, theirs[title])


def _measure_kernels(bench: Bench, title: str, options: Any) -> Measured | None:
    """Compare stock Detectron2 with ours, and return its result."""
    pixels, amount = _inputs(bench, options)
    model = bench.attempt(f"{title}, ours", lambda: _own(bench, options))
    if model is None:
        return None

    def stock() -> Run:
        theirs = on_device(bench.device, lambda: build_stock(options, torch.bfloat16)).eval()
        return torch.inference_mode()(lambda: theirs(pixels))

    def ours(kernel: KernelName) -> Run:
        def forward() -> object:
            use_kernel(model, kernel)
            return model(pixels)

        return torch.inference_mode()(forward)

    contenders = {PEER: stock}
    for kernel in KERNELS:
        contenders[f"ours with {kernel}"] = partial(ours, kernel)
    theirs = compare(bench, title, PEER, contenders, amount)
    # FlexAttention is always compiled. If the time ends meanwhile, the others are recorded already.
    compare(bench, title, PEER, {"ours with flex": partial(ours, "flex")}, amount, theirs)
    return theirs


def _measure_compiled(bench: Bench, title: str, options: Any, theirs: Measured | None) -> None:
    pixels, amount = _inputs(bench, options)

    def compiled(kernel: KernelName) -> Run:
        model = compile_blocks(_own(bench, options, kernel), bench.tiny)
        return torch.inference_mode()(lambda: model(pixels))

    contenders = {"ours with sdpa, compiled": partial(compiled, "sdpa")}
    # Without a bias of the logits, FlexAttention computes the same as the fused kernel.
    if options["use_rel_pos"]:
        contenders["ours with flex, compiled"] = partial(compiled, "flex")
    compare(bench, title, PEER, contenders, amount, theirs)


def _own(bench: Bench, options: Any, kernel: KernelName = "auto") -> nn.Module:
    return on_device(bench.device, lambda: build_own(options, kernel, torch.bfloat16)).eval()


def _inputs(bench: Bench, options: Any) -> tuple[torch.Tensor, Amount]:
    """Return an image, and the arithmetic of a forward pass for it."""
    side = options["img_size"]
    operations = forward_operations(lambda: build_own(options, "eager"), 1, 3, side, side)
    return torch.randn(1, 3, side, side, device=bench.device, dtype=torch.bfloat16), Amount(operations=operations)
