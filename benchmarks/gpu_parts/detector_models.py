"""The detectors that the parts measure: their recipes, backbones and the stock ViTs that they are compared with."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from benchmarks.plan_memory import CONFIG, NO_MASKS, ROOT, SMALL
from eva_backbone.attention import Attention
from eva_backbone.attention_kernels import KernelName

EVA02 = "projects/ViTDet/configs/eva2_mim_to_coco/eva2_coco_cascade_mask_rcnn_vitdet_l_"
# Name of a model: its recipe for the largest image side that it is used up to.
RECIPES = {
    "ViT-g": {1536: CONFIG},
    "EVA-02-L": {1280: f"{EVA02}4attn_1024_lrd0p8.py", 1536: f"{EVA02}8attn_win32_1536_lrd0p8.py"},
}
SIDES = (1024, 1280, 1536)
TINY_SIDE = 64
KERNELS: tuple[KernelName, ...] = ("sdpa", "xformers", "chunked", "eager")  # and flex, which is compiled


def sides(tiny: bool) -> Sequence[int]:
    """Return the image sides in pixels to measure."""
    return (TINY_SIDE,) if tiny else SIDES


def load_recipe(name: str, side: int, tiny: bool, overrides: Sequence[str] = ()) -> Any:
    """Return the config of a model for images of `side` x `side` pixels, without stochastic depth."""
    from eva_engine.config import load_config

    path = next(path for largest, path in RECIPES[name].items() if side <= largest)
    sized = [f"model.backbone.net.img_size={side}", f"model.backbone.square_pad={side}"]
    fixed = ["model.backbone.net.drop_path_rate=0.0"]
    return load_config(str(ROOT / path), [*(_tiny_overrides() if tiny else ()), *sized, *fixed, *overrides])


def _tiny_overrides() -> list[str]:
    net = "model.backbone.net."
    return [
        *SMALL,
        *NO_MASKS,
        f"{net}embed_dim=64",
        f"{net}depth=2",
        f"{net}num_heads=2",
        f"{net}window_block_indexes=[0]",
    ]


def build_own(options: Any, kernel: KernelName = "auto", dtype: torch.dtype | None = None) -> nn.Module:
    """Build the backbone of a recipe on the default device, from its options `cfg.model.backbone.net`."""
    from detectron2.config import instantiate

    return _randomized(instantiate({**options, "attention": kernel}).to(dtype))


def build_stock(options: Any, dtype: torch.dtype | None = None) -> nn.Module:
    """Build Detectron2's ViT of the same width, depth and windows, with relative positions instead of rotary ones."""
    from detectron2.modeling.backbone.vit import ViT

    shared = ("img_size", "embed_dim", "depth", "num_heads", "window_size", "window_block_indexes", "patch_size")
    model = ViT(
        **{name: options[name] for name in shared},
        # The three matrices of a gated MLP of 8/3 times the width are as large as two of 4 times the width.
        mlp_ratio=4.0 if options.get("naiveswiglu") else options["mlp_ratio"],
        use_rel_pos=True,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        out_feature=options.get("out_feature", "last_feat"),
    )
    return _randomized(model.to(dtype))


def checkpoint_stock(model: nn.Module) -> nn.Module:
    """Use activation checkpointing for the blocks of Detectron2's ViT, whose own option needs fairscale."""
    for block in model.blocks:  # type: ignore[union-attr]
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
    return model


def compile_blocks(model: nn.Module, tiny: bool) -> nn.Module:
    """Compile each block; equal blocks share their code. A tiny model is only traced, which takes no compiler."""
    for block in model.blocks:  # type: ignore[union-attr]
        block.compile(backend="eager" if tiny else "inductor", dynamic=False)
    return model


def use_kernel(model: nn.Module, kernel: KernelName) -> None:
    """Let every block of our backbone use an attention kernel."""
    for module in model.modules():
        if isinstance(module, Attention):
            module.kernel = kernel


def on_device(device: str, build: Callable[[], nn.Module]) -> nn.Module:
    """Call `build` with `device` as the default device, where weights are initialised much faster than on the CPU."""
    with torch.device(device):
        return build()


def _randomized(model: nn.Module) -> nn.Module:
    """Give the position tables, which start at zero, random values, as trained ones have."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "rel_pos" in name or "pos_embed" in name:
                parameter.normal_(std=0.02)
    return model
