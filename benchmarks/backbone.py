"""Detectron2's stock ViT against ours on the CPU, giant width, 1280 px images, in float32 and in bfloat16.

Forward: three windowed blocks and one global. Attention: the global one alone, from query, key and value on, 80x80
tokens, 16 heads of 88. Training: a step of the same four blocks, forward and backward, both with activation
checkpointing. In bfloat16, weights are converted before the forward pass, and training uses autocast. Each process
makes two calls.

    python -m benchmarks.backbone [--rounds 3] [--size 1280] [--only forward|attention|training] [--dtype bfloat16]
"""

import argparse
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from .harness.matrix_rate import forward_operations
from .harness.precision import DTYPES, chosen_autocast, chosen_dtype, with_chosen_weights
from .harness.side_by_side import compare

SIZE = int(os.environ.get("EVA_BENCHMARK_SIZE", "1280"))  # pixels; passed on to the measured processes
PATCH = 16
OPTIONS: dict[str, Any] = {
    "img_size": SIZE,
    "patch_size": PATCH,
    "embed_dim": 1408,
    "depth": 4,
    "num_heads": 16,
    "mlp_ratio": 6144 / 1408,
    "use_rel_pos": True,
    "window_size": 16,
    "window_block_indexes": [0, 1, 2],
}
TITLES = {
    "attention": "global attention",
    "forward": "four blocks, forward",
    "training": "four blocks, training step with activation checkpointing",
}


def _randomize(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "rel_pos" in name or "pos_embed" in name:
                parameter.normal_(std=0.02)
    return model


def _stock_vit(checkpoint: bool = False) -> nn.Module:
    from detectron2.modeling.backbone.vit import ViT
    from torch.utils.checkpoint import checkpoint as torch_checkpoint

    model = ViT(**OPTIONS, norm_layer=partial(nn.LayerNorm, eps=1e-6))
    if checkpoint:  # what its use_act_checkpoint does through fairscale
        for block in model.blocks:
            block.forward = partial(torch_checkpoint, block.forward, use_reentrant=False)
    return _randomize(model)


def _own_vit(checkpoint: bool = False) -> nn.Module:
    from detectron2_ext.modeling.vit import ViT

    return _randomize(ViT(**OPTIONS, use_act_checkpoint=checkpoint))


def _forward(model: nn.Module) -> Callable[[], object]:
    model, pixels = with_chosen_weights(model.eval()), torch.randn(1, 3, SIZE, SIZE, dtype=chosen_dtype())
    return torch.inference_mode()(lambda: model(pixels))


def _training_step(model: nn.Module) -> Callable[[], object]:
    pixels = torch.randn(1, 3, SIZE, SIZE)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    model.train()

    def step() -> None:
        with chosen_autocast():
            features = model(pixels)["last_feat"]
        features.float().sum().backward()

    return step


def _attention_inputs() -> tuple[torch.Tensor, ...]:
    """Query, key and value [heads, N, head_dim] of one image, and the two relative position tables."""
    heads, side = OPTIONS["num_heads"], SIZE // PATCH
    width = OPTIONS["embed_dim"] // heads
    tables = torch.randn(2, 2 * side - 1, width) * 0.02
    return tuple(x.to(chosen_dtype()) for x in (*torch.randn(3, heads, side * side, width), *tables))


def _operations(kind: str, size: int) -> float:
    """Return the operations of one call by the formula, without those that checkpointing repeats."""
    if kind == "attention":
        return 4 * (size // PATCH) ** 4 * OPTIONS["embed_dim"]  # query times key, and weights times value
    from detectron2_ext.modeling.vit import ViT

    forward = forward_operations(lambda: ViT(**{**OPTIONS, "img_size": size}, attention="eager"), 1, 3, size, size)
    return forward if kind == "forward" else 3 * forward  # backward computes two products for each one of forward


def stock_forward() -> Callable[[], object]:
    return _forward(_stock_vit())


def own_forward() -> Callable[[], object]:
    return _forward(_own_vit())


def stock_attention() -> Callable[[], object]:
    from detectron2.modeling.backbone.utils import add_decomposed_rel_pos

    query, key, value, *tables = _attention_inputs()
    grid = (SIZE // PATCH, SIZE // PATCH)

    def attend() -> torch.Tensor:
        logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        return add_decomposed_rel_pos(logits, query, *tables, grid, grid).softmax(dim=-1) @ value

    return torch.inference_mode()(attend)


def own_attention() -> Callable[[], object]:
    from eva_backbone.attention_kernels import choose_kernel
    from eva_backbone.relative_position import decomposed_bias

    query, key, value, table_h, table_w = (x[None] if x.dim() == 3 else x for x in _attention_inputs())
    grid = (SIZE // PATCH, SIZE // PATCH)

    def attend() -> torch.Tensor:
        bias = decomposed_bias(query, table_h, table_w, grid, "vitdet")
        return choose_kernel("auto", query, bias)(query, key, value, query.shape[-1] ** -0.5, bias)

    return torch.inference_mode()(attend)


def stock_training() -> Callable[[], object]:
    return _training_step(_stock_vit(checkpoint=True))


def own_training() -> Callable[[], object]:
    return _training_step(_own_vit(checkpoint=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=1280, help="image side in pixels")
    parser.add_argument("--only", choices=list(TITLES))
    parser.add_argument("--dtype", choices=DTYPES, help="default: both")
    args = parser.parse_args()
    os.environ["EVA_BENCHMARK_SIZE"] = str(args.size)
    for kind in [args.only] if args.only else TITLES:
        functions = f"stock_{kind}", f"own_{kind}"
        for dtype in [args.dtype] if args.dtype else DTYPES:
            compare(
                "benchmarks.backbone",
                f"{TITLES[kind]}, {args.size} px",
                *functions,
                args.rounds,
                calls=2,
                against="stock Detectron2",
                quantities=("time", "processor time", "memory"),
                dtype=dtype,
                operations=_operations(kind, args.size),
            )


if __name__ == "__main__":
    main()
