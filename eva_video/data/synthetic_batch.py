"""Made training batches of video classifiers."""

from omegaconf import OmegaConf
from torch import Tensor, zeros

from eva_classification.data.synthetic_batch import ImageSyntheticBatch
from eva_demos.video.playback_mappers import ForwardBackwardCollate


class VideoSyntheticBatch(ImageSyntheticBatch):
    """Clips of one value, and class numbers or mixed targets."""

    @property
    def sample(self) -> str:
        """What a sample is, in words."""
        return f"clip(s) of {self.cfg.model.num_frames} frames of {self.side} x {self.side} pixels"

    def make(self, num_samples: int) -> dict[str, Tensor]:
        """{"video": [B, 3, T, S, S], "label": [B] or [B, K]}; B is twice `num_samples` if each is played both ways."""
        target = OmegaConf.select(self.cfg, "dataloader.train.collate._target_")
        num_clips = num_samples * (2 if target in (ForwardBackwardCollate, _name(ForwardBackwardCollate)) else 1)
        clips = zeros(()).expand(num_clips, 3, self.cfg.model.num_frames, self.side, self.side)
        return {"video": clips, "label": self.labels(num_clips, "mixing")}


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
