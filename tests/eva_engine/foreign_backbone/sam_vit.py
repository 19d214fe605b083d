"""The image encoder of SAM, from timm, as the backbone of a Detectron2 detector."""

import timm
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone


class SamViT(Backbone):
    """Return the map of the last block of SAM's image encoder, which has windows and tables of relative positions.

    Args:
        name: model of timm, such as "samvit_base_patch16".
        options: further arguments of `timm.create_model`, such as pretrained=True.
    """

    def __init__(self, name: str, **options) -> None:
        super().__init__()
        self.vit = timm.create_model(name, num_classes=0, **options)
        self.vit.prune_intermediate_layers(1, prune_norm=True)  # the pyramid takes the place of SAM's neck
        self.stride = self.vit.patch_embed.patch_size[0]
        self._out_features = ["last_feat"]
        self._out_feature_channels = {"last_feat": self.vit.num_features}
        self._out_feature_strides = {"last_feat": self.stride}

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {"last_feat": ShapeSpec(channels=self.vit.num_features, stride=self.stride)}

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"last_feat": self.vit.forward_intermediates(pixels, indices=1, intermediates_only=True)[0]}
