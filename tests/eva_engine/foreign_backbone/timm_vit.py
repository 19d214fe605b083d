"""A pre-trained plain ViT of timm as the backbone of a Detectron2 detector."""

import timm
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone
from torch import nn


class TimmViT(Backbone):
    """Return the map of the last block of a timm vision transformer.

    Args:
        name: model of timm with `forward_intermediates`, such as "vit_small_patch16_224".
        options: further arguments of `timm.create_model`, such as pretrained=True.
    """

    def __init__(self, name: str, **options) -> None:
        super().__init__()
        self.vit = timm.create_model(name, num_classes=0, dynamic_img_size=True, **options)
        self.vit.norm = nn.Identity()  # the pyramid normalises the map itself
        self.stride = self.vit.patch_embed.patch_size[0]
        self._out_features = ["last_feat"]
        self._out_feature_channels = {"last_feat": self.vit.num_features}
        self._out_feature_strides = {"last_feat": self.stride}

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {"last_feat": ShapeSpec(channels=self.vit.num_features, stride=self.stride)}

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"last_feat": self.vit.forward_intermediates(pixels, indices=1, intermediates_only=True)[0]}
