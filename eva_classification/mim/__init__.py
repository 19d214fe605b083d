"""Masked image modelling: predict a frozen teacher's features of the masked patches."""

from .block_masking import BlockMasking, alternating_mask
from .clip_teacher import ClipTeacher
from .masked_image_model import MaskedImageModel
from .teacher import FrozenTeacher

__all__ = ["BlockMasking", "ClipTeacher", "FrozenTeacher", "MaskedImageModel", "alternating_mask"]
