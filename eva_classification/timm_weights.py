"""Weights for timm's `eva_giant_*` and `eva_large_*`, whose names are those of the published files and so of ours."""

from collections.abc import Mapping

import torch
from torch import Tensor

from eva_backbone.errors import InputError
from eva_backbone.position import square_grid

PROBE_EPS = 1e-6
_PROBE_MEAN, _PROBE_VARIANCE = "head.0.running_mean", "head.0.running_var"
# timm's name by (width, blocks, patch side, whether query, key and value share one bias)
_NAMES = {(1408, 40, 14, False): "eva_giant_patch14_336", (1024, 24, 14, True): "eva_large_patch14_336"}


def to_timm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a classifier as timm loads them; loading them back by name gives the same model.

    Entries stay as they are, but for a linear probe: its batch normalisation, as it acts in evaluation, becomes part of
    the linear layer behind it.

    Raises:
        InputError: relative positions, which timm's models have no place for, or weights of something else.
    """
    head = "head.1.weight" if _PROBE_MEAN in weights else "head.weight"
    missing = [
        name
        for name in ("pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight", head)
        if name not in weights
    ]
    if missing:
        raise InputError(
            f"names such as {next(iter(weights), '(none)')}, without {missing[0]}, are no classifier's; give the "
            "weights of an image classifier."
        )
    if weights["patch_embed.proj.weight"].ndim != 4:
        raise InputError("the patches have a length in time; timm's EVA takes images, give an image classifier.")
    relative = next((name for name in weights if "rel_pos" in name or "relative_position" in name), None)
    if relative is not None:
        raise InputError(
            f"timm's EVA has no relative positions ({relative}); only models without them can be exported."
        )
    if _PROBE_MEAN not in weights:
        return dict(weights)
    result = {name: value for name, value in weights.items() if not name.startswith("head.")}
    weight, bias = weights["head.1.weight"], weights["head.1.bias"]
    scaled = weight.double() * torch.rsqrt(weights[_PROBE_VARIANCE].double() + PROBE_EPS)
    shift = scaled @ weights[_PROBE_MEAN].double()
    return {**result, "head.weight": scaled.to(weight.dtype), "head.bias": (bias.double() - shift).to(bias.dtype)}


def timm_call(weights: Mapping[str, Tensor]) -> str | None:
    """The call of `timm.create_model` that makes the model for exported `weights`; None unless of a published size."""
    width, _, patch_size, _ = weights["patch_embed.proj.weight"].shape
    depth = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    name = _NAMES.get((width, depth, patch_size, "blocks.0.attn.qkv.bias" in weights))
    if name is None:
        return None
    size = patch_size * square_grid(weights["pos_embed"].shape[1] - 1)[0]
    options = [repr(name), f"img_size={size}", f"num_classes={len(weights['head.weight'])}"]
    if "norm.weight" in weights:
        options.append("global_pool='token'")
    return f"timm.create_model({', '.join(options)})"
