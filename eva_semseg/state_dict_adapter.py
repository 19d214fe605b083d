"""Conversion between the parameter names of the published segmentation files and those of the model.

Only this module knows both.
"""

import math
import re
from collections.abc import Mapping
from functools import partial

from torch import Tensor

from eva_backbone.errors import InputError
from eva_backbone.relative_position_bias import NUM_CLASS_OFFSETS, joint_index

_ENCODER = ("pixel_decoder.layers.{}.", "pixel_decoder.encoder.layers.{}.")
_DECODER = ("transformer_decoder.layers.{}.", "transformer_decoder.layers.{}.")

# (prefix in the model, prefix in the files), both below `decode_head.`; {} stands for a layer number. Parameters that
# are not listed have the same name in both.
_ENCODER_PARTS = (
    ("attn.", "attentions.0."),
    ("ffn.fc1.", "ffns.0.layers.0.0."),
    ("ffn.fc2.", "ffns.0.layers.1."),
    ("norm1.", "norms.0."),
    ("norm2.", "norms.1."),
)
_DECODER_PARTS = (
    ("cross_attn.qkv.", "attentions.0.attn.in_proj_"),
    ("cross_attn.proj.", "attentions.0.attn.out_proj."),
    ("self_attn.qkv.", "attentions.1.attn.in_proj_"),
    ("self_attn.proj.", "attentions.1.attn.out_proj."),
    ("ffn.fc1.", "ffns.0.layers.0.0."),
    ("ffn.fc2.", "ffns.0.layers.1."),
    ("norm1.", "norms.0."),
    ("norm2.", "norms.1."),
    ("norm3.", "norms.2."),
)
_OTHERS = (
    ("pixel_decoder.input_convs.{}.norm.", "pixel_decoder.input_convs.{}.gn."),
    ("pixel_decoder.level_embed.", "pixel_decoder.level_encoding."),
    ("pixel_decoder.lateral_conv.conv.", "pixel_decoder.lateral_convs.0.conv."),
    ("pixel_decoder.lateral_conv.norm.", "pixel_decoder.lateral_convs.0.gn."),
    ("pixel_decoder.output_conv.conv.", "pixel_decoder.output_convs.0.conv."),
    ("pixel_decoder.output_conv.norm.", "pixel_decoder.output_convs.0.gn."),
    ("pixel_decoder.mask_conv.", "pixel_decoder.mask_feature."),
)
_TABLE, _INDEX = ".attn.relative_position_bias_table", ".attn.relative_position_index"

Pairs = list[tuple[str, str]]


def _prefix_pairs() -> Pairs:
    """Return (prefix in the model, prefix in the files) of all parameters that have two names."""
    pairs = [*_OTHERS]
    for (own_layer, published_layer), parts in ((_ENCODER, _ENCODER_PARTS), (_DECODER, _DECODER_PARTS)):
        pairs += [(own_layer + own, published_layer + published) for own, published in parts]
    return [(f"decode_head.{own}", f"decode_head.{published}") for own, published in pairs]


def _compile(pairs: Pairs) -> list[tuple[re.Pattern, str]]:
    """Turn pairs (old prefix, new prefix) into regular expressions and their replacements."""
    rules = []
    for old, new in pairs:
        pattern = re.escape(old).replace(r"\{\}", r"(\d+)")
        rules.append((re.compile(pattern), new.replace("{}", r"\1")))
    return rules


_TO_PUBLISHED = _compile(_prefix_pairs())
_FROM_PUBLISHED = _compile([(published, own) for own, published in _prefix_pairs()])


def _rename(rules: list[tuple[re.Pattern, str]], name: str) -> str:
    for pattern, replacement in rules:
        match = pattern.match(name)
        if match:
            return match.expand(replacement) + name[match.end() :]
    return name


published_name = partial(_rename, _TO_PUBLISHED)
own_name = partial(_rename, _FROM_PUBLISHED)


def from_published(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a published file to the model's names; the model's own checkpoints stay unchanged.

    The files of the variant with relative positions contain gigabytes of index tables, which depend only on the size of
    the grid. The model computes them itself, so they are left out.
    """
    return {own_name(name): value for name, value in weights.items() if not name.endswith(_INDEX)}


def to_published(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the model's weights to the published names, in the published order, and add the index tables.

    Raises:
        InputError: The relative positions are those of a grid that is not square.
    """
    published = {}
    for name, value in weights.items():
        published[published_name(name)] = value
        if name.endswith(_TABLE):
            published[name.removesuffix(_TABLE) + _INDEX] = _square_index(name, value)
    return published


def _square_index(name: str, table: Tensor) -> Tensor:
    """Return the index table that belongs to the bias table called `name`."""
    # A grid of side n has 2n - 1 offsets along each axis, and the table a few more rows for the class token.
    offsets = math.isqrt(len(table) - NUM_CLASS_OFFSETS)
    if offsets**2 != len(table) - NUM_CLASS_OFFSETS:
        raise InputError(
            f"{name} has {len(table)} rows, which do not fit a square grid: train on square crops to export it."
        )
    side = (offsets + 1) // 2
    return joint_index((side, side), table.device)
