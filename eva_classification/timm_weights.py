"""Convert weights for timm's `eva_giant_*`, `eva_large_*` and `eva02_*`."""

from collections.abc import Mapping

import torch
from torch import Tensor

from eva_backbone.errors import InputError
from eva_backbone.position import square_grid
from eva_backbone.timm_names import to_timm_names

PROBE_EPS = 1e-6
_PROBE_MEAN, _PROBE_VARIANCE = "head.0.running_mean", "head.0.running_var"
# timm's name by the width, depth and patch size, and by what else distinguishes models of the same size
_TIMM_NAMES = {
    (1408, 40, 14, "blocks.0.attn.q_bias"): "eva_giant_patch14_336",
    (1024, 24, 14, "blocks.0.attn.qkv.bias"): "eva_large_patch14_336",
    (192, 12, 14, "blocks.0.mlp.fc1.weight"): "eva02_tiny_patch14_336",
    (384, 12, 14, "blocks.0.mlp.fc1.weight"): "eva02_small_patch14_336",
    (768, 12, 14, "blocks.0.mlp.fc1_g.weight"): "eva02_base_patch14_448",
    (1024, 24, 14, "blocks.0.mlp.fc1_g.weight"): "eva02_large_patch14_448",
}
_CLIP_NORM = "blocks.0.attn.norm.weight"  # of EVA-02-CLIP's image towers, which have other names in timm


def to_timm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of an image model as timm loads them; loading them here again gives the same model.

    Entries of EVA-02 are renamed. In a linear probe, the inference-time batch normalisation is folded into the linear
    layer that follows it. Of a pre-trained model timm keeps no mask token and no prediction head, and its final norm
    is named `fc_norm`.

    Raises:
        InputError: The model has relative positions, which timm's EVA does not support, or is not an image model.
    """
    is_probe, is_pretrained = _PROBE_MEAN in weights, "mask_token" in weights
    head = None
    if not is_pretrained:
        head = "head.1.weight" if is_probe else "head.weight"
    _check_weights(weights, head)
    converted = to_timm_names(weights)
    if is_pretrained:
        return _without_prediction(converted)
    if is_probe:
        return _fold_probe(converted)
    return converted


def _without_prediction(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    converted = {}
    for name, value in weights.items():
        if name.startswith("norm."):
            converted[f"fc_{name}"] = value
        elif name != "mask_token" and not name.startswith("lm_head."):
            converted[name] = value
    return converted


def _fold_probe(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    converted = {name: value for name, value in weights.items() if not name.startswith("head.")}
    weight, bias = weights["head.1.weight"], weights["head.1.bias"]
    # W (x - mean) / sqrt(var + eps) + b  =  W' x + (b - W' mean),  with W' = W / sqrt(var + eps)
    folded = weight.double() * torch.rsqrt(weights[_PROBE_VARIANCE].double() + PROBE_EPS)
    shift = folded @ weights[_PROBE_MEAN].double()
    converted["head.weight"] = folded.to(weight.dtype)
    converted["head.bias"] = (bias.double() - shift).to(bias.dtype)
    return converted


def _check_weights(weights: Mapping[str, Tensor], head: str | None) -> None:
    attention = "blocks.0.attn.q_proj.weight"
    if attention not in weights:
        attention = "blocks.0.attn.qkv.weight"
    for needed in ("pos_embed", "patch_embed.proj.weight", attention, head):
        if needed is not None and needed not in weights:
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
    for (*shape, entry), timm_name in _TIMM_NAMES.items():
        if shape == [embed_dim, depth, patch_size] and entry in weights and _CLIP_NORM not in weights:
            size = patch_size * square_grid(weights["pos_embed"].shape[1] - 1)[0]
            num_classes = len(weights["head.weight"]) if "head.weight" in weights else 0
            arguments = [repr(timm_name), f"img_size={size}", f"num_classes={num_classes}"]
            if "norm.weight" in weights:
                arguments.append("global_pool='token'")
            return f"timm.create_model({', '.join(arguments)})"
    return None
