"""Simple feature pyramid of ViTDet (Li et al., 2022): four feature maps computed from the last map of a plain ViT."""

import torch
import torch.nn.functional as F
from detectron2.modeling import Backbone
from detectron2.modeling.backbone import vit
from torch import nn


class SimpleFeaturePyramid(vit.SimpleFeaturePyramid):
    """Detectron2's pyramid with lower memory use and the same parameter names (`net.*`, `simfp_2.*` ... `simfp_5.*`).

    Args:
        net: Backbone whose output has the map `in_feature`.
        in_feature: Name of that map, for example "last_feat" at stride 16.
        out_channels: Number of channels of every pyramid level.
        scale_factors: Size of each level relative to the input map; 4.0, 2.0, 1.0 or 0.5.
        top_block: Adds levels with larger strides, for example Detectron2's `LastLevelMaxPool` (p6).
        norm: Name of a norm for Detectron2's `get_norm`; "LN" is layer normalisation over channels.
        square_pad: If above 0, images are padded to a square of this side in pixels.
    """

    def __init__(
        self,
        net: Backbone,
        in_feature: str,
        out_channels: int,
        scale_factors: list[float],
        top_block: nn.Module | None = None,
        norm: str = "LN",
        square_pad: int = 0,
    ) -> None:
        super().__init__(
            net,
            in_feature,
            out_channels,
            scale_factors,
            top_block=top_block,
            norm=ChannelLayerNorm if norm == "LN" else norm,
            square_pad=square_pad,
        )

    @property
    def size_divisibility(self) -> int:
        """Number of pixels that height and width of the input must be multiples of."""
        return self._size_divisibility

    @property
    def padding_constraints(self) -> dict[str, int]:
        """Padding arguments of `ImageList.from_tensors` (Detectron2's pyramid misspells the first key)."""
        return {"size_divisibility": self._size_divisibility, "square_size": self._square_pad}

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Compute the pyramid {"p2": [B, out_channels, H / 4, W / 4], ...} of images [B, 3, H, W]; strides double.

        The maps are in float32 or float64, also under autocast and with parameters of lower precision: region pooling
        rounds box corners to the dtype of its input, and bfloat16 has only 8 significant bits, too few for coordinates
        up to 1280 pixels.
        """
        dtype = torch.promote_types(self.stages[0][-1].weight.dtype, torch.float32)
        # The norms return channels-last maps. Region pooling copies every map that is not contiguous, in each of its
        # calls, so one copy is made here.
        return {name: level.to(dtype).contiguous() for name, level in super().forward(x).items()}


class ChannelLayerNorm(nn.Module):
    """Layer norm over the channels of each pixel, as Detectron2's "LN" (same parameter names, biased variance).

    Detectron2 evaluates the formula step by step and stores several full-size intermediates for the backward pass; this
    module uses one fused kernel on the channels-last layout.

    Args:
        num_channels: Number of channels.
        eps: Constant added to the variance.
    """

    def __init__(self, num_channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise a map [B, C, H, W]; the result has the same shape and is stored channels last."""
        x = x.permute(0, 2, 3, 1)
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)
