"""Synthetic training batches of image and text pairs."""

import torch
from omegaconf import OmegaConf
from torch import Tensor

from eva_engine.memory.synthetic_batch import SyntheticBatch

from ..models import model_options


class PairSyntheticBatch(SyntheticBatch):
    """Constant images with texts of the full context length; the loss uses the pairs of all processes."""

    couples_processes = True
    micro_batch_effect = "negatives come from the micro-batch only"

    @property
    def side(self) -> int:
        """Side of the square images in pixels."""
        return int(self._option("visual.img_size"))

    @property
    def side_multiple(self) -> int:
        """Number of pixels that every side must be a multiple of."""
        return int(self._option("visual.patch_size"))

    @property
    def sample(self) -> str:
        """Description of a sample."""
        tokens = self._option("text.context_length")
        return f"pair(s) of {self.side} x {self.side} pixels and {tokens} tokens"

    @property
    def backbone_patterns(self) -> list[str]:
        """Patterns of the names of the backbone's parameters."""
        return ["visual.*"]

    @property
    def checkpointing_overrides(self) -> list[str]:
        """Overrides that switch activation checkpointing on in both towers."""
        return [*super().checkpointing_overrides, "model.text.checkpoint_blocks=True"]

    def make(self, num_samples: int) -> dict[str, Tensor]:
        """Make {"image": [B, 3, S, S], "text": [B, L]}."""
        texts = torch.zeros(num_samples, self._option("text.context_length"), dtype=torch.int64)
        texts[:, -1] = self._option("text.vocab_size") - 1  # the end token
        return {"image": torch.zeros(()).expand(num_samples, 3, self.side, self.side), "text": texts}

    def resolution_overrides(self, side: int) -> list[str]:
        """Return the overrides of the image size; none if the data loader does not follow the model's."""
        follows = OmegaConf.select(self.cfg, "dataloader.train.mapper.transform.size") is not None
        return [f"model.visual.img_size={side}"] if follows else []

    def _option(self, key: str) -> int:
        """Return the value in the recipe, or else in the named model."""
        tower, _, name = key.partition(".")
        given = OmegaConf.select(self.cfg.model, key)
        return model_options(self.cfg.model.name)[tower][name] if given is None else given
