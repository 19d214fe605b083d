"""Synthetic training batches of semantic segmentation."""

from collections.abc import Iterator

import torch
from omegaconf import OmegaConf
from torch import Tensor

from eva_engine.memory.synthetic_batch import SyntheticBatch


class SegmentationSyntheticBatch(SyntheticBatch):
    """Constant images with label maps of vertical stripes; `num_objects` is the number of classes in an image."""

    num_objects = 32
    micro_batch_effect = "batch normalisation per micro-batch"

    @property
    def side(self) -> int:
        """Longer side of the crops in pixels."""
        return int(max(self.cfg.dataloader.train.mapper.size))

    @property
    def backbone_patterns(self) -> list[str]:
        """Patterns of the names of the ViT's parameters."""
        if "name" in self.cfg.model.backbone:  # `TimmAdapterBackbone`
            return ["backbone.vit.*"]
        return [f"backbone.{name}" for name in ("cls_token", "pos_embed", "patch_embed.*", "blocks.*")]

    def make(self, num_samples: int) -> dict[str, Tensor]:
        """Make {"image": [B, 3, H, W], "label": [B, H, W]}."""
        height, width = self.cfg.dataloader.train.mapper.size
        num_classes = min(self.num_objects, self.cfg.model.decode_head.num_classes)
        stripes = (torch.arange(width) * num_classes // width).expand(num_samples, height, width)
        return {"image": torch.zeros(()).expand(num_samples, 3, height, width), "label": stripes}

    def resolution_overrides(self, side: int) -> list[str]:
        """Return overrides of the crops, and of the evaluation windows with strides in the same proportion."""
        windows = self.cfg.model.inference.windows
        steps = [round(step * side / size) for step, size in zip(windows.stride, windows.size, strict=True)]
        return [
            *(f"{key}=[{side},{side}]" for key in self._sizes()),
            f"model.inference.windows.size=[{side},{side}]",
            f"model.inference.windows.stride=[{steps[0]},{steps[1]}]",
        ]

    def _sizes(self) -> Iterator[str]:
        """Keys that hold the size of the crops."""
        key, mapper = "dataloader.train.mapper", self.cfg.dataloader.train.mapper
        yield f"{key}.size"
        for number, augmentation in enumerate(mapper.augmentations):
            same = augmentation.get("size") == mapper.size
            if same and not OmegaConf.is_interpolation(augmentation, "size"):
                yield f"{key}.augmentations.{number}.size"
