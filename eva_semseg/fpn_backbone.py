"""A plain ViT as a feature pyramid: the tokens after four of its blocks, resized to strides 4, 8, 16 and 32."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from eva_backbone import VisionTransformer
from eva_backbone.errors import InputError

from .batch_norm import SyncBatchNorm
from .feature_maps import COARSEST, FEATURE_NAMES, STRIDES, pad_sides


class FpnBackbone(VisionTransformer):
    """Backbone that turns normalised images [B, 3, H, W] of any size into maps of C channels at strides 4 to 32.

    Parameter names are those of EVA-02's published segmentation models without their `backbone.` prefix. Rotary
    positions are computed for the size of the image, and the position table is resized to it.

    Args:
        out_indices: Four blocks in ascending order, whose outputs become the maps of strides 4, 8, 16 and 32. Blocks
            after the last of them are not run, and learn nothing.
        img_size: Image side, or (height, width), of the position table.
        patch_size: Must be 16.
        backbone: Further arguments of `VisionTransformer`.

    Raises:
        InputError: A patch size other than 16, or other blocks than those.
    """

    def __init__(
        self,
        *,
        out_indices: Sequence[int],
        img_size: int | tuple[int, int] = 512,
        patch_size: int = 16,
        **backbone: Any,
    ) -> None:
        super().__init__(img_size=img_size, patch_size=patch_size, final_norm=False, **backbone)
        if patch_size != 16:
            raise InputError(
                f"patch_size={patch_size} does not fit the pyramid, whose maps have strides {STRIDES}; give 16."
            )
        self.out_indices = _check_indices(out_indices, self.depth)
        dim = self.embed_dim
        # GELU and norm are between two upsamplings only, as in the release.
        self.fpn1 = nn.Sequential(_upsample(dim), SyncBatchNorm(dim), nn.GELU(), _upsample(dim))
        self.fpn2 = nn.Sequential(_upsample(dim))
        self.fpn3 = nn.Identity()
        self.fpn4 = nn.MaxPool2d(2)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Compute the maps "res2" to "res5" of normalised pixels [B, 3, H, W].

        Sides are padded with zeros at the bottom and right to multiples of 16, H' and W', which are at least 32.

        Args:
            pixels: Of any floating-point type and on any device.

        Returns:
            Maps [B, C, H' / s, W' / s] for strides s = 4, 8, 16, 32 (rounded down for 32), with the type and the device
            of the parameters.
        """
        pixels = pixels.to(self.patch_embed.proj.weight, non_blocking=True)
        pixels = pad_sides(pixels, self.patch_size, minimum=COARSEST)
        outputs = self.forward_intermediates(pixels, self.out_indices, stop_early=True, intermediates_only=True)
        resizers = (self.fpn1, self.fpn2, self.fpn3, self.fpn4)
        maps = {}
        for name, resize, output in zip(FEATURE_NAMES, resizers, outputs, strict=True):
            maps[name] = resize(output)
        return maps


def _upsample(dim: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(dim, dim, 2, stride=2)


def _check_indices(indices: Sequence[int], depth: int) -> tuple[int, ...]:
    indices = tuple(indices)
    is_ascending = all(first < second for first, second in pairwise((-1, *indices)))
    if len(indices) != len(FEATURE_NAMES) or not is_ascending or indices[-1] >= depth:
        raise InputError(
            f"out_indices={list(indices)} do not fit {depth} blocks; give {len(FEATURE_NAMES)} of 0 to {depth - 1} in "
            "ascending order."
        )
    return indices
