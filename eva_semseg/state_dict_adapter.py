"""Names of the published segmentation files, and the model's own: the one place that knows both."""

import math
import re
from collections.abc import Mapping
from functools import partial

from torch import Tensor

from eva_backbone.errors import InputError
from eva_backbone.relative_position_bias import NUM_CLASS_OFFSETS, joint_index

_ENCODER = ("pixel_decoder.layers.{}.", "pixel_decoder.encoder.layers.{}.")
_DECODER = ("transformer_decoder.layers.{}.", "transformer_decoder.layers.{}.")

# (beginning here, beginning in the files), below `decode_head.`; what is not listed has one name for both
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
_PAIRS = tuple(
    (f"decode_head.{own}", f"decode_head.{published}")
    for own, published in (
        *((_ENCODER[0] + own, _ENCODER[1] + published) for own, published in _ENCODER_PARTS),
        *((_DECODER[0] + own, _DECODER[1] + published) for own, published in _DECODER_PARTS),
        *_OTHERS,
    )
)
_TABLE, _INDEX = ".attn.relative_position_bias_table", ".attn.relative_position_index"


def _compile(pairs: tuple[tuple[str, str], ...]) -> list[tuple[re.Pattern, str]]:
    return [(re.compile(re.escape(old).replace(r"\{\}", r"(\d+)")), new.replace("{}", r"\1")) for old, new in pairs]


_TO_PUBLISHED = _compile(_PAIRS)
_FROM_PUBLISHED = _compile(tuple((published, own) for own, published in _PAIRS))


def _rename(rules: list[tuple[re.Pattern, str]], name: str) -> str:
    for pattern, replacement in rules:
        match = pattern.match(name)
        if match:
            return match.expand(replacement) + name[match.end() :]
    return name


published_name = partial(_rename, _TO_PUBLISHED)
own_name = partial(_rename, _FROM_PUBLISHED)


def from_published(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a published file under the model's names; those of the model's own checkpoints stay as they are.

    The files of the variant with relative positions hold gigabytes of index tables, which follow from the size of the
    grid. The model computes them, so they are left out.
    """
    return {own_name(name): value for name, value in weights.items() if not name.endswith(_INDEX)}


def to_published(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The model's weights under the published names and in the published order, index tables of a square grid included.

    Raises:
        InputError: relative positions of a grid that is not square.
    """
    published = {}
    for name, value in weights.items():
        published[published_name(name)] = value
        if name.endswith(_TABLE):
            published[name.removesuffix(_TABLE) + _INDEX] = _square_index(name, value)
    return published


def _square_index(name: str, table: Tensor) -> Tensor:
    offsets = math.isqrt(len(table) - NUM_CLASS_OFFSETS)
    if offsets**2 != len(table) - NUM_CLASS_OFFSETS:
        raise InputError(f"{name} has {len(table)} rows, which is no square grid: train on square crops to export it.")
    side = (offsets + 1) // 2
    return joint_index((side, side), table.device)
