"""Entries whose size depends on the resolution or the patch, brought to the model's size."""

import math
from collections.abc import Callable

from torch import Tensor, nn

from eva_backbone.patch_embed import resize_patch_kernel
from eva_backbone.position import resize_pos_embed
from eva_backbone.relative_position import RelPosResize, resize_rel_pos

Shape = tuple[int, ...]


def resize_entry(name: str, value: Tensor, shape: Shape, model: nn.Module) -> Tensor | None:
    """`value` of the entry `name` in the `shape` that `model` has for it, in its own dtype or float32.

    None for entries that have no resize, and where more than the resized axes differ.
    """
    if value.ndim != len(shape) or not value.is_floating_point():
        return None
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
    value = value[:, source[1] - wanted[1] :]  # without a class slot that the model does not have
    return resize_pos_embed(value, (wanted[0], wanted[0]), num_prefix_tokens=wanted[1])


def _resize_decomposed(value: Tensor, shape: Shape, name: str, model: nn.Module) -> Tensor | None:
    if value.ndim != 2 or value.shape[1] != shape[1] or value.shape[0] % 2 == 0 or shape[0] % 2 == 0:
        return None
    attention = model.get_submodule(name.rpartition(".")[0])
    method: RelPosResize = getattr(attention, "rel_pos_resize", "vitdet")  # Detectron2's own ViT resizes linearly
    return resize_rel_pos(value, (shape[0] + 1) // 2, method)


def _resize_patch(value: Tensor, shape: Shape, _name: str, _model: nn.Module) -> Tensor | None:
    if value.ndim != 4 or value.shape[:2] != shape[:2]:
        return None
    return resize_patch_kernel(value, shape[2:])


_RESIZES: dict[str, Callable[[Tensor, Shape, str, nn.Module], Tensor | None]] = {
    "pos_embed": _resize_absolute,
    "rel_pos_h": _resize_decomposed,
    "rel_pos_w": _resize_decomposed,
    "patch_embed.proj.weight": _resize_patch,
}


def _square_table(length: int) -> tuple[int, int] | None:
    """(side, class slots) of a position table over a square grid; None when its length is neither n^2 nor n^2 + 1."""
    for num_slots in (0, 1):
        side = math.isqrt(max(length - num_slots, 0))
        if side and side * side == length - num_slots:
            return side, num_slots
    return None
