"""Mixup and CutMix of the clips of a batch, as published: one share, one partner order, one box for all of them."""

import numpy as np
import torch
from torch import Tensor, nn

from eva_backbone.errors import InputError

Box = tuple[int, int, int, int]


def soft_targets(labels: Tensor, num_classes: int, smoothing: float) -> Tensor:
    """Class numbers [B] to targets [B, K]; `smoothing` is spread over all classes."""
    one_hot = nn.functional.one_hot(labels, num_classes).float()
    return one_hot * (1 - smoothing) + smoothing / num_classes


def mixup(clips: Tensor, targets: Tensor, share: float, partners: Tensor) -> tuple[Tensor, Tensor]:
    """Each clip and its targets [B, K] times `share`, and those of its partner [B] for the rest."""
    return clips * share + clips[partners] * (1 - share), targets * share + targets[partners] * (1 - share)


def cutmix(clips: Tensor, targets: Tensor, box: Box, partners: Tensor) -> tuple[Tensor, Tensor]:
    """The pixels of the partner inside a box (left, top, right, bottom), in all frames; targets by its area.

    Clips are [B, 3, T, H, W], targets [B, K], partners the numbers [B] of other clips.
    """
    left, top, right, bottom = box
    mixed = clips.clone()
    mixed[..., top:bottom, left:right] = clips[partners][..., top:bottom, left:right]
    share = 1 - (right - left) * (bottom - top) / (clips.shape[-1] * clips.shape[-2])
    return mixed, targets * share + targets[partners] * (1 - share)


class ClipMixing:
    """Mixes every batch in one of the two ways; random numbers from `numpy.random`.

    A batch can be of any size; partners are drawn, so that a clip can meet itself.

    Args:
        num_classes: K.
        mixup_alpha: of the distribution of shares; 0 for CutMix alone.
        cutmix_alpha: of the distribution of areas left; 0 for mixup alone.
        switch: share of the batches with CutMix, where both are on.
        smoothing: of the targets.

    Raises:
        InputError: neither of the two is on.
    """

    def __init__(
        self,
        num_classes: int,
        mixup_alpha: float = 0.8,
        cutmix_alpha: float = 1.0,
        switch: float = 0.5,
        smoothing: float = 0.1,
    ) -> None:
        if mixup_alpha <= 0 and cutmix_alpha <= 0:
            raise InputError("mixup_alpha and cutmix_alpha are both 0: leave the mixing out.")
        self.num_classes = num_classes
        self.mixup_alpha, self.cutmix_alpha = mixup_alpha, cutmix_alpha
        self.switch = switch if mixup_alpha > 0 and cutmix_alpha > 0 else float(cutmix_alpha > 0)
        self.smoothing = smoothing

    def __call__(self, clips: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Clips [B, 3, T, H, W] and class numbers [B] to mixed clips and targets [B, K]."""
        targets = soft_targets(labels, self.num_classes, self.smoothing)
        partners = torch.from_numpy(np.random.permutation(len(clips)))
        if np.random.rand() < self.switch:
            share = np.random.beta(self.cutmix_alpha, self.cutmix_alpha)
            height, width = clips.shape[-2:]
            return cutmix(clips, targets, draw_box(height, width, share), partners)
        share = np.random.beta(self.mixup_alpha, self.mixup_alpha)
        return mixup(clips, targets, share, partners)


def draw_box(height: int, width: int, share: float) -> Box:
    """A box of 1 - `share` of the area about a pixel drawn from all, cut off at the edges."""
    half_width, half_height = (int(side * (1 - share) ** 0.5) // 2 for side in (width, height))
    x, y = np.random.randint(width), np.random.randint(height)
    left, right = np.clip((x - half_width, x + half_width), 0, width)
    top, bottom = np.clip((y - half_height, y + half_height), 0, height)
    return int(left), int(top), int(right), int(bottom)
