"""Synthetic training batches of video classifiers."""

from detectron2.utils.registry import locate
from omegaconf import OmegaConf
from torch import Tensor, zeros

from eva_classification.data.synthetic_batch import ImageSyntheticBatch


class VideoSyntheticBatch(ImageSyntheticBatch):
    """Constant clips with class numbers, or with mixed targets if the recipe uses mixup."""

    @property
    def sample(self) -> str:
        """Description of a sample."""
        return f"clip(s) of {self.cfg.model.num_frames} frames of {self.side} x {self.side} pixels"

    def make(self, num_samples: int) -> dict[str, Tensor]:
        """Make {"video": [B, 3, T, S, S], "label": [B] or [B, K]}; B counts the clips that the collate makes."""
        num_clips = num_samples * self._clips_per_sample()
        clips = zeros(()).expand(num_clips, 3, self.cfg.model.num_frames, self.side, self.side)
        return {"video": clips, "label": self.labels(num_clips, "mixing")}

    def _clips_per_sample(self) -> int:
        target = OmegaConf.select(self.cfg, "dataloader.train.collate._target_")
        collate = locate(target) if isinstance(target, str) else target
        return getattr(collate, "clips_per_sample", 1)
