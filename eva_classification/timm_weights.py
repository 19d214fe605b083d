"""Convert weights for timm's `eva_giant_*` and `eva_large_*`, which use the parameter names of the published files."""

from collections.abc import Mapping

import torch
from torch import Tensor

from eva_backbone.errors import InputError
from eva_backbone.position import square_grid

PROBE_EPS = 1e-6
_PROBE_MEAN, _PROBE_VARIANCE = "head.0.running_mean", "head.0.running_var"
# timm's name by (embed_dim, depth, patch_size, whether there is one bias for query, key and value)
_TIMM_NAMES = {(1408, 40, 14, False): "eva_giant_patch14_336", (1024, 24, 14, True): "eva_large_patch14_336"}


def to_timm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of a classifier as timm loads them; loading them here again gives the same model.

    Entries do not change, except in a linear probe: the inference-time batch normalisation is folded into the linear
    layer that follows it.

    Raises:
        InputError: The model has relative positions, which timm's EVA does not support, or is not an image classifier.
    """
    is_probe = _PROBE_MEAN in weights
    _check_weights(weights, is_probe)
    if not is_probe:
        return dict(weights)
    converted = {name: value for name, value in weights.items() if not name.startswith("head.")}
    weight, bias = weights["head.1.weight"], weights["head.1.bias"]
    # W (x - mean) / sqrt(var + eps) + b  =  W' x + (b - W' mean),  with W' = W / sqrt(var + eps)
    folded = weight.double() * torch.rsqrt(weights[_PROBE_VARIANCE].double() + PROBE_EPS)
    shift = folded @ weights[_PROBE_MEAN].double()
    converted["head.weight"] = folded.to(weight.dtype)
    converted["head.bias"] = (bias.double() - shift).to(bias.dtype)
    return converted


def _check_weights(weights: Mapping[str, Tensor], is_probe: bool) -> None:
    head = "head.1.weight" if is_probe else "head.weight"
    for needed in ("pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight", head):
        if needed not in weights:
            example = next(iter(weights), "(none)")
            raise InputError(
                f"the weights have no {needed}, only entries such as {example}, so they are not those of an image "
                "classifier; give the weights of one."
            )
    if weights["patch_embed.proj.weight"].ndim != 4:
        raise InputError(
            "the patch embedding is three-dimensional, for video, but timm's EVA takes images; give the weights of an "
            "image classifier."
        )
    for name in weights:
        if "rel_pos" in name or "relative_position" in name:
            raise InputError(
                f"timm's EVA has no relative positions ({name}); only models without them can be exported."
            )


def timm_call(weights: Mapping[str, Tensor]) -> str | None:
    """Return the call of `timm.create_model` for exported weights; None if the model is not of a published size."""
    embed_dim, _, patch_size, _ = weights["patch_embed.proj.weight"].shape
    depth = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    timm_name = _TIMM_NAMES.get((embed_dim, depth, patch_size, "blocks.0.attn.qkv.bias" in weights))
    if timm_name is None:
        return None
    size = patch_size * square_grid(weights["pos_embed"].shape[1] - 1)[0]
    arguments = [repr(timm_name), f"img_size={size}", f"num_classes={len(weights['head.weight'])}"]
    if "norm.weight" in weights:
        arguments.append("global_pool='token'")
    return f"timm.create_model({', '.join(arguments)})"
