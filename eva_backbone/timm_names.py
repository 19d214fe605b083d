"""Names of EVA-02's parameters in timm, whose values and shapes are the same as here.

All other sizes of EVA have the same names in timm.
"""

import re
from collections.abc import Mapping

from torch import Tensor

_LAYER = re.compile(r"(?P<block>(?:^|.*\.)blocks\.\d+\.)(?P<layer>(?:attn|mlp)\.\w+)(?P<rest>.*)")
_TIMM_LAYERS = {
    "attn.inner_attn_ln": "attn.norm",
    "mlp.ffn_ln": "mlp.norm",
    "mlp.w1": "mlp.fc1_g",
    "mlp.w2": "mlp.fc1_x",
    "mlp.w12": "mlp.fc1",
    "mlp.w3": "mlp.fc2",
}
_LAYERS = {theirs: ours for ours, theirs in _TIMM_LAYERS.items()}


def to_timm_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the entries of blocks of EVA-02 as timm does; all other entries keep their names.

    Args:
        weights: State dict of a backbone, or of a model that contains one.
    """
    renamed = {}
    for name, value in weights.items():
        match = _LAYER.fullmatch(name)
        if match is not None:
            layer = _TIMM_LAYERS.get(match["layer"], match["layer"])
            if layer in ("attn.q_bias", "attn.v_bias") and f"{match['block']}attn.q_proj.weight" in weights:
                # timm stores the biases of separate projections in those layers, and those of one for all apart.
                layer = layer.replace("_bias", "_proj.bias")
            name = match["block"] + layer + match["rest"]
        renamed[name] = value
    return renamed


def from_timm_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the entries of blocks of timm's EVA-02 as here, the inverse of :func:`to_timm_names`.

    A state dict with the names used here does not change.
    """
    renamed = {}
    for name, value in weights.items():
        match = _LAYER.fullmatch(name)
        if match is not None:
            layer, rest = _LAYERS.get(match["layer"], match["layer"]), match["rest"]
            if match["layer"] in ("mlp.fc1", "mlp.fc2") and not _is_gated(match["block"], weights):
                layer = match["layer"]
            if (layer, rest) in (("attn.q_proj", ".bias"), ("attn.v_proj", ".bias")):
                layer, rest = layer.replace("_proj", "_bias"), ""
            name = match["block"] + layer + rest
        renamed[name] = value
    return renamed


def _is_gated(block: str, weights: Mapping[str, Tensor]) -> bool:
    """Return whether `fc1` gives the inputs of `fc2` and their gates, which doubles its outputs."""
    if f"{block}mlp.fc1_g.weight" in weights:
        return True
    first, last = weights.get(f"{block}mlp.fc1.weight"), weights.get(f"{block}mlp.fc2.weight")
    return first is not None and last is not None and first.shape[0] == 2 * last.shape[-1]
