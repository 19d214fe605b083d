"""Made training batches of pairs."""

import torch
from omegaconf import OmegaConf
from torch import Tensor

from eva_engine.data.synthetic_batch import SyntheticBatch

from ..models import model_options


class PairSyntheticBatch(SyntheticBatch):
    """Images of one value, and texts of the full context length. The loss compares with the pairs of all processes."""

    sees_all_processes = True
    parts_change = "a pair's negatives are those of its part only"

    @property
    def side(self) -> int:
        """Of the square images, pixels."""
        return int(self._option("visual.img_size"))

    @property
    def side_unit(self) -> int:
        """Pixels that a side has to be a multiple of."""
        return int(self._option("visual.patch_size"))

    @property
    def sample(self) -> str:
        """What a sample is, in words."""
        tokens = self._option("text.context_length")
        return f"pair(s) of {self.side} x {self.side} pixels and {tokens} tokens"

    @property
    def backbone_names(self) -> list[str]:
        """Patterns of the names of the parameters that belong to the backbone."""
        return ["visual.*"]

    @property
    def recomputation(self) -> list[str]:
        """Overrides that make both towers keep only the inputs of their blocks."""
        return [*super().recomputation, "model.text.checkpoint_blocks=True"]

    def make(self, num_samples: int) -> dict[str, Tensor]:
        """{"image": [B, 3, S, S], "text": [B, L]}."""
        texts = torch.zeros(num_samples, self._option("text.context_length"), dtype=torch.int64)
        texts[:, -1] = self._option("text.vocab_size") - 1  # the end token
        return {"image": torch.zeros(()).expand(num_samples, 3, self.side, self.side), "text": texts}

    def resolution_overrides(self, side: int) -> list[str]:
        """None where the loader's images do not follow."""
        follows = OmegaConf.select(self.cfg, "dataloader.train.mapper.transform.size") is not None
        return [f"model.visual.img_size={side}"] if follows else []

    def _option(self, key: str) -> int:
        """The recipe's, else that of the named model."""
        tower, _, name = key.partition(".")
        given = OmegaConf.select(self.cfg.model, key)
        return model_options(self.cfg.model.name)[tower][name] if given is None else given
