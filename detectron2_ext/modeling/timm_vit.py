"""A plain ViT of timm as the backbone of the detector's pyramid."""

from typing import Any

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone

from eva_backbone.timm_backbone import TimmBackbone
from eva_backbone.timm_models import PATCH_SIZE


class TimmViT(TimmBackbone, Backbone):
    """`TimmBackbone` as a Detectron2 backbone with one output map, of stride 16.

    Args:
        name: Name in timm, such as "vit_small_patch16_dinov3.lvd1689m".
        img_size: Image side in pixels; see `TimmBackbone`.
        out_feature: Name of the output map.
        options: Further arguments of `TimmBackbone`.
    """

    def __init__(
        self, name: str, img_size: int | tuple[int, int] = 1024, *, out_feature: str = "last_feat", **options: Any
    ) -> None:
        super().__init__(name, img_size, **options)
        self.out_feature = out_feature
        self._out_features = [out_feature]
        self._out_feature_channels = {out_feature: self.embed_dim}
        self._out_feature_strides = {out_feature: PATCH_SIZE}

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Return the channels and the stride of the output map."""
        return {self.out_feature: ShapeSpec(channels=self.embed_dim, stride=PATCH_SIZE)}

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Compute the output map {out_feature: [B, C, H / 16, W / 16]} of normalised images [B, 3, H, W]."""
        return {self.out_feature: self.forward_map(x)}
