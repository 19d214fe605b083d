"""A plain ViT of timm with the adapter of segmentation."""

from eva_backbone.timm_backbone import TimmBackbone

from .adapter import ViTAdapter


class TimmAdapterBackbone(ViTAdapter, TimmBackbone):
    """`TimmBackbone` with the adapter; its arguments are those of `ViTAdapter` and `TimmBackbone`.

    The ViT is the submodule `vit`, so that freezing, LoRA and the learning rates of layers concern its parameters only;
    those of the adapter are new and are trained like the head. Models that are built for one image size (BEiT) need
    crops and evaluation windows of exactly `img_size`, a multiple of 32.
    """
