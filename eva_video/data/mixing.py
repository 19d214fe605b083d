"""Mixup and CutMix of the clips of a batch.

As published, one draw of lambda, permutation and box is used for the entire batch. Both methods
mix each clip with another one of the batch, and its target by the same fraction `lam`, "lambda" in the papers.
"""

import numpy as np
import torch
from torch import Tensor, nn

from eva_backbone.errors import InputError

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


def soft_targets(labels: Tensor, num_classes: int, smoothing: float) -> Tensor:
    """Return smoothed one-hot targets [B, K] of class indices [B]; `smoothing` is spread evenly over all classes."""
    one_hot = nn.functional.one_hot(labels, num_classes).float()
    return one_hot * (1 - smoothing) + smoothing / num_classes


def mixup(clips: Tensor, targets: Tensor, lam: float, permutation: Tensor) -> tuple[Tensor, Tensor]:
    """Blend each clip with another one, with the weights `lam` and 1 - `lam`.

    Args:
        clips: [B, 3, T, H, W].
        targets: [B, K].
        lam: Weight of the clip itself, 0 to 1.
        permutation: Indices [B] of the other clips.
    """
    mixed_clips = clips * lam + clips[permutation] * (1 - lam)
    mixed_targets = targets * lam + targets[permutation] * (1 - lam)
    return mixed_clips, mixed_targets


def cutmix(clips: Tensor, targets: Tensor, box: Box, permutation: Tensor) -> tuple[Tensor, Tensor]:
    """Replace a box in all frames of each clip with that of another clip; targets are mixed by the area of the box.

    Args:
        clips: [B, 3, T, H, W].
        targets: [B, K].
        box: Left, top, right and bottom in pixels.
        permutation: Indices [B] of the other clips.
    """
    left, top, right, bottom = box
    mixed = clips.clone()
    mixed[..., top:bottom, left:right] = clips[permutation][..., top:bottom, left:right]
    # The box can be clipped at the edges, so lambda follows from its actual area.
    lam = 1 - (right - left) * (bottom - top) / (clips.shape[-1] * clips.shape[-2])
    return mixed, targets * lam + targets[permutation] * (1 - lam)


class ClipMixing:
    """Apply either mixup or CutMix to every batch, with random numbers from `numpy.random`.

    Batches can have any size, also an odd one: the permutation is drawn freely, so a clip can be mixed with itself.

    Args:
        num_classes: Number of classes, K.
        mixup_alpha: Lambda of mixup is drawn from Beta(alpha, alpha); 0 disables mixup.
        cutmix_alpha: The fraction of the area that CutMix leaves is drawn from Beta(alpha, alpha); 0 disables CutMix.
        switch_prob: Probability of CutMix rather than mixup if both are enabled.
        smoothing: Label smoothing of the targets.

    Raises:
        InputError: Both are disabled.
    """

    def __init__(
        self,
        num_classes: int,
        mixup_alpha: float = 0.8,
        cutmix_alpha: float = 1.0,
        switch_prob: float = 0.5,
        smoothing: float = 0.1,
    ) -> None:
        if mixup_alpha <= 0 and cutmix_alpha <= 0:
            raise InputError("mixup_alpha and cutmix_alpha are both 0: set the collate's mixing to None instead.")
        self.num_classes = num_classes
        self.mixup_alpha, self.cutmix_alpha = mixup_alpha, cutmix_alpha
        if mixup_alpha <= 0:
            switch_prob = 1.0
        elif cutmix_alpha <= 0:
            switch_prob = 0.0
        self.switch_prob = switch_prob
        self.smoothing = smoothing

    def __call__(self, clips: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Mix clips [B, 3, T, H, W] and their class indices [B]; return mixed clips and targets [B, K]."""
        targets = soft_targets(labels, self.num_classes, self.smoothing)
        permutation = torch.from_numpy(np.random.permutation(len(clips)))
        if np.random.rand() < self.switch_prob:
            lam = np.random.beta(self.cutmix_alpha, self.cutmix_alpha)
            height, width = clips.shape[-2:]
            return cutmix(clips, targets, draw_box(height, width, lam), permutation)
        lam = np.random.beta(self.mixup_alpha, self.mixup_alpha)
        return mixup(clips, targets, lam, permutation)


def draw_box(height: int, width: int, lam: float) -> Box:
    """Draw the box of CutMix: a fraction 1 - `lam` of the area around a random pixel, clipped at the edges."""
    # Both sides shrink by the square root, so that the area shrinks by 1 - lambda and the aspect ratio stays.
    half_width, half_height = (int(side * (1 - lam) ** 0.5) // 2 for side in (width, height))
    x, y = np.random.randint(width), np.random.randint(height)
    left, right = np.clip((x - half_width, x + half_width), 0, width)
    top, bottom = np.clip((y - half_height, y + half_height), 0, height)
    return int(left), int(top), int(right), int(bottom)
