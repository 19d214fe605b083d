"""A few words on what a set of named tensors is, for error messages."""

import re
from collections.abc import Mapping

from torch import Tensor

_BLOCK = re.compile(r"(.*\bblocks\.)(\d+)\.attn\.qkv\.weight$")


def describe_weights(weights: Mapping[str, Tensor]) -> str:
    """Width, depth and patch of the ViT in `weights`, or else their count and first names."""
    blocks = [match for name in weights if (match := _BLOCK.match(name))]
    if not blocks:
        names = list(weights)
        return f"{len(names)} entries such as {', '.join(names[:2])}"
    width = weights[blocks[0].group(0)].shape[-1]
    depth = 1 + max(int(match.group(2)) for match in blocks)
    stem = blocks[0].group(1).removesuffix("blocks.")
    kernel = weights.get(f"{stem}patch_embed.proj.weight")
    patch = f", patch {kernel.shape[-1]}" if kernel is not None else ""
    return f"a ViT of width {width}, depth {depth}{patch}"
