"""Resize entries whose size depends on the image resolution or the patch size."""

import math
from collections.abc import Callable
from typing import Any

import torch
from timm.layers import PatchEmbed, resample_patch_embed, resize_rel_pos_bias_table
from torch import Tensor, nn

from eva_backbone.patch_embed import resize_patch_kernel
from eva_backbone.position import resize_pos_embed
from eva_backbone.relative_position import RelPosResize, resize_rel_pos
from eva_backbone.relative_position_bias import NUM_CLASS_OFFSETS

Shape = tuple[int, ...]
_MAX_OFFSETS = 1023  # of the table of an axis, for 512 patches; BEiT's resizing takes memory for its square
_MAX_PATCH = 64  # side of a kernel that timm resamples with a matrix of its area


def resize_entry(name: str, value: Tensor, shape: Shape, model: nn.Module) -> Tensor | None:
    """Resize one entry of a weight file to its shape in the model.

    Args:
        name: Name of the entry.
        value: Its value in the file.
        shape: Its shape in the model.
        model: The model, whose modules may define how the entry is resized.

    Returns:
        Tensor of the given shape, in the dtype of `value` or float32; None if this entry cannot be resized, or if axes
        differ that do not depend on the resolution.
    """
    if value.ndim != len(shape) or not value.is_floating_point() or not value.numel():
        return None
    if value.dtype.itemsize == 1:  # torch cannot concatenate numbers of 8 bits
        value = value.float()
    for suffix, resize in _RESIZES.items():
        if name == suffix or name.endswith(f".{suffix}"):
            return resize(value, shape, name, model)
    return None


def _resize_absolute(value: Tensor, shape: Shape, _name: str, _model: nn.Module) -> Tensor | None:
    if value.ndim != 3 or (value.shape[0], value.shape[2]) != (shape[0], shape[2]):
        return None
    source, wanted = _square_table(value.shape[1]), _square_table(shape[1])
    if source is None or wanted is None or source[1] < wanted[1]:
        return None
    value = value[:, source[1] - wanted[1] :]  # drops a position for the class token that the model does not have
    return resize_pos_embed(value, (wanted[0], wanted[0]), num_prefix_tokens=wanted[1])


def _resize_decomposed(value: Tensor, shape: Shape, name: str, model: nn.Module) -> Tensor | None:
    if value.ndim != 2 or value.shape[1] != shape[1] or value.shape[0] % 2 == 0 or shape[0] % 2 == 0:
        return None
    if value.shape[0] > _MAX_OFFSETS:
        return None
    attention = model.get_submodule(name.rpartition(".")[0])
    method: RelPosResize = getattr(
        attention, "rel_pos_resize", "vitdet"
    )  # Detectron2's own ViT, without this attribute, resizes linearly
    return resize_rel_pos(value, (shape[0] + 1) // 2, method)


def _resize_patch(value: Tensor, shape: Shape, name: str, model: nn.Module) -> Tensor | None:
    if value.ndim != 4 or value.shape[:2] != shape[:2]:
        return None
    if isinstance(model.get_submodule(name.removesuffix(".proj.weight")), PatchEmbed):
        # A model of timm gets the kernel that timm itself would load.
        if max(value.shape[2:]) <= _MAX_PATCH:
            return resample_patch_embed(value, list(shape[2:]))
        return None
    return resize_patch_kernel(value, shape[2:])


def _resize_joint_bias(value: Tensor, shape: Shape, name: str, model: nn.Module) -> Tensor | None:
    num_offsets = value.shape[0] - NUM_CLASS_OFFSETS
    side = math.isqrt(max(num_offsets, 0))
    if value.ndim != 2 or value.shape[1] != shape[1] or side * side != num_offsets or side % 2 == 0:
        return None
    if not 1 < side <= _MAX_OFFSETS:
        return None
    owner: Any = model.get_submodule(name.rpartition(".")[0])
    grid = owner.grid if hasattr(owner, "grid") else owner.window_size  # timm's BEiT has the second name
    return resize_rel_pos_bias_table(value, grid, shape)


def _resize_axis_bias(value: Tensor, shape: Shape, _name: str, _model: nn.Module) -> Tensor | None:
    offsets, class_rows = value[:-NUM_CLASS_OFFSETS], value[-NUM_CLASS_OFFSETS:]
    if value.ndim != 2 or value.shape[1] != shape[1] or len(offsets) % 2 == 0 or len(offsets) > _MAX_OFFSETS:
        return None
    return torch.cat([resize_rel_pos(offsets, (shape[0] - NUM_CLASS_OFFSETS + 1) // 2, "beit"), class_rows])


_RESIZES: dict[str, Callable[[Tensor, Shape, str, nn.Module], Tensor | None]] = {
    "pos_embed": _resize_absolute,
    "rel_pos_h": _resize_decomposed,
    "rel_pos_w": _resize_decomposed,
    "relative_position_bias_table": _resize_joint_bias,
    "relative_position_bias_for_high": _resize_axis_bias,
    "relative_position_bias_for_width": _resize_axis_bias,
    "patch_embed.proj.weight": _resize_patch,
}


def _square_table(length: int) -> tuple[int, int] | None:
    """Return (side, number of class tokens) of a position table; None if its length is neither n^2 nor n^2 + 1."""
    for num_class_tokens in (0, 1):
        side = math.isqrt(max(length - num_class_tokens, 0))
        if side and side * side == length - num_class_tokens:
            return side, num_class_tokens
    return None
