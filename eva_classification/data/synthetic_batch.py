"""Synthetic training batches of classifiers and of masked image modelling."""

import math

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from eva_engine.memory.synthetic_batch import SyntheticBatch

from ..mim.masked_image_model import MaskedImageModel


class ImageSyntheticBatch(SyntheticBatch):
    """Constant images with class numbers, or with mixed targets if the recipe uses mixup."""

    def __init__(self, cfg: DictConfig, num_objects: int | None = None) -> None:
        super().__init__(cfg, num_objects)
        if cfg.model.get("head") == "probe":
            self.micro_batch_effect = "batch normalisation per micro-batch"

    @property
    def side(self) -> int:
        """Side of the square images in pixels."""
        return int(self.cfg.model.img_size)

    @property
    def side_multiple(self) -> int:
        """Number of pixels that every side must be a multiple of."""
        return int(self.cfg.model.patch_size)

    @property
    def backbone_patterns(self) -> list[str]:
        """Patterns of the names of the backbone's parameters."""
        if self._hides_patches:
            return []
        final_norm = ["norm.*"] if self.cfg.model.get("pooling") == "class" else []
        return ["cls_token", "pos_embed", "patch_embed.*", "blocks.*", *final_norm]

    @property
    def _hides_patches(self) -> bool:
        return "masking" in self.cfg.model

    def make(self, num_samples: int) -> dict[str, Tensor]:
        """Return {"image": [B, 3, S, S], "label": [B] or [B, K]}, or "mask": [B, N] that hides the most patches."""
        images = torch.zeros(()).expand(num_samples, 3, self.side, self.side)
        if not self._hides_patches:
            return {"image": images, "label": self.labels(num_samples, "mixup")}
        masking = self.cfg.model.masking
        hidden = torch.arange(math.prod(masking.grid)) < masking.num_masked
        return {"image": images, "mask": hidden.expand(num_samples, -1)}

    def labels(self, num_samples: int, mixing: str) -> Tensor:
        """Return class numbers [B]; targets [B, K] if the loader's `collate` has an entry `mixing`."""
        num_classes = self.cfg.model.num_classes
        if OmegaConf.select(self.cfg, f"dataloader.train.collate.{mixing}") is not None:
            return torch.zeros(()).expand(num_samples, num_classes)
        return torch.arange(num_samples) % num_classes

    def resolution_overrides(self, side: int) -> list[str]:
        """Return the image size; [] in masked image modelling, whose teacher has a fixed grid, or a fixed loader."""
        follows = OmegaConf.select(self.cfg, "dataloader.train.mapper.transform.size") is not None
        if follows and not self._hides_patches:
            return [f"model.img_size={side}"]
        return []

    def extra_modules(self, model: nn.Module) -> list[nn.Module]:
        """Return the frozen teacher of masked image modelling, which is not a part of the model."""
        if isinstance(model, MaskedImageModel) and model.teacher is not None:
            return [model.teacher.module]
        return []
