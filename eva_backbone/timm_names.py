"""Rename the blocks of EVA-02 between the names of its release, which the backbone has, and those of timm.

Only the blocks differ, and only where they have gated MLPs, inner norms or separate projections of query, key and
value. The blocks of EVA, of which EVA-02-CLIP-E is an example too, have the same names in timm.
"""

import re
from collections.abc import Mapping

from torch import Tensor

_IN_BLOCK = re.compile(r"((?:.*\.)?blocks\.\d+\.)(.+)")
_LAYERS = {
    "attn.inner_attn_ln.": "attn.norm.",
    "mlp.ffn_ln.": "mlp.norm.",
    "mlp.w12.": "mlp.fc1.",
    "mlp.w1.": "mlp.fc1_g.",
    "mlp.w2.": "mlp.fc1_x.",
    "mlp.w3.": "mlp.fc2.",
}
_BIASES = {"attn.q_bias": "attn.q_proj.bias", "attn.v_bias": "attn.v_proj.bias"}
# timm's names of an MLP with two matrices are those of the release, so they change in gated ones only.
_GATED = ("mlp.fc1.", "mlp.fc2.")


def to_timm_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the entries of blocks to timm's names, in a bare backbone or after any prefix; values do not change."""
    renamed = {}
    for name, value in weights.items():
        match = _IN_BLOCK.fullmatch(name)
        if match is not None:
            block, part = match.groups()
            # With a fused projection, timm keeps both biases as they are.
            if f"{block}attn.q_proj.weight" in weights:
                part = _BIASES.get(part, part)
            name = block + _replace_start(part, _LAYERS)
        renamed[name] = value
    return renamed


def from_timm_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the entries of blocks from timm's names, the inverse of `to_timm_names`."""
    biases = {theirs: ours for ours, theirs in _BIASES.items()}
    gated_layers = {theirs: ours for ours, theirs in _LAYERS.items()}
    layers = {theirs: ours for theirs, ours in gated_layers.items() if theirs not in _GATED}
    renamed = {}
    for name, value in weights.items():
        match = _IN_BLOCK.fullmatch(name)
        if match is not None:
            block, part = match.groups()
            part = biases.get(part, part)
            name = block + _replace_start(part, gated_layers if _is_gated(weights, block) else layers)
        renamed[name] = value
    return renamed


def _is_gated(weights: Mapping[str, Tensor], block: str) -> bool:
    """Return whether the MLP of a block with timm's names is gated: its first layer is then separate, or packed."""
    if f"{block}mlp.fc1_g.weight" in weights:
        return True
    first, last = weights.get(f"{block}mlp.fc1.weight"), weights.get(f"{block}mlp.fc2.weight")
    return first is not None and last is not None and len(first) == 2 * last.shape[-1]


def _replace_start(part: str, layers: Mapping[str, str]) -> str:
    for old, new in layers.items():
        if part.startswith(old):
            return new + part.removeprefix(old)
    return part
