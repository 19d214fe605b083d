"""The predicted peak memory of one GPU in a recipe's training step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import nn

from eva_engine.memory.synthetic_batch import SyntheticBatch, find_synthetic_batch

from .fake_step import run_whole_step
from .optimizer_state import state_bytes
from .persistent_memory import PersistentMemory, persistent_memory
from .planned_model import model_on_meta, model_with_real_heads
from .tracker import Phase


@dataclass(frozen=True)
class Prediction:
    """Bytes on one GPU.

    Attributes:
        persistent_memory: what stays from step to step.
        moments: the most in each part of a step, `persistent_memory` included.
        samples: images, clips or pairs that one GPU takes at a time.
        sample: what one of them is, in words.
        side: of the images, in pixels.
    """

    persistent_memory: PersistentMemory
    moments: dict[str, int]
    samples: int
    sample: str
    side: int

    @property
    def peak(self) -> int:
        """The most over the whole step."""
        return max(self.moments.values())


class Predictor:
    """Predicts recipes one after another, and what a step of the same kind needs only once.

    A step is run on fake tensors, in seconds; heads of a detector are run for real, in about half a minute.

    Args:
        num_ranks: processes, one per GPU, unless `predict` is told another number.
        num_objects: objects per image, or classes in segmentation; by default as many as the task may meet.
        tell: called with a line about what takes long.
    """

    def __init__(
        self, num_ranks: int = 1, num_objects: int | None = None, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self.num_ranks, self.num_objects, self.tell = num_ranks, num_objects, tell
        self._heads: dict[str, Any] = {}
        self._done: dict[str, list[Phase]] = {}

    def predict(self, cfg: DictConfig, num_ranks: int | None = None) -> Prediction:
        """Peak of a training step of `cfg`.

        Raises:
            InputError: a model or settings that cannot be planned.
        """
        ranks = num_ranks or self.num_ranks
        meta = model_on_meta(cfg)
        made = find_synthetic_batch(cfg, meta, self.num_objects)
        samples = samples_at_once(cfg, ranks)
        side = made.side
        held = persistent_memory(cfg, meta, state_bytes(cfg, meta), ranks, made.companions(meta))
        fresh = held.fresh_gradients > 0 and cfg.train.parallel != "fsdp"
        moments = {}
        for phase in self._phases(made, samples, ranks):
            gathered = held.backward if phase.is_backward else held.forward
            moments[phase.name] = held.total + gathered + (phase.peak_with_gradients if fresh else phase.peak)
        moments["optimizer step"] = held.total + held.fresh_gradients + held.step
        return Prediction(held, moments, samples, made.sample, side)

    def _phases(self, made: SyntheticBatch, samples: int, ranks: int) -> list[Phase]:
        cfg = made.cfg
        how = (torch.device(cfg.train.device).type, autocast_dtype(cfg), cfg.train.parallel == "fsdp")
        adapted = [str(cfg.train[key]) for key in ("freeze", "lora", "activation_checkpointing")]
        group = ranks if made.sees_all_processes else 1
        key = str([cfg.model, made.sample, adapted, how, samples, group])
        if key not in self._done:
            precision = str(how[1] or "float32").removeprefix("torch.")
            self.tell(f"{samples} {made.sample} at a time, {precision}")
            run = self._run_detector if made.heads_follow_data else self._run_whole
            self._done[key] = run(made, samples, how, group)
        return self._done[key]

    def _run_whole(self, made: SyntheticBatch, samples: int, how: tuple, group: int) -> list[Phase]:
        model = model_on_meta(made.cfg)
        return run_whole_step(model, made.make(samples), *how, companions=made.companions(model), num_ranks=group)

    def _run_detector(self, made: SyntheticBatch, samples: int, how: tuple, _group: int) -> list[Phase]:
        from detectron2_ext.memory.detector_step import FakeBackbone, detector_phases

        model = model_with_real_heads(made.cfg)
        backbone, maps = FakeBackbone(model, *how).run(samples, made.side)
        return detector_phases(backbone, self._one_image_heads(made, model, maps).times(samples))

    def _one_image_heads(self, made: SyntheticBatch, model: nn.Module, maps: Any) -> Any:
        from detectron2_ext.memory.detector_step import run_heads

        cfg, side = made.cfg, made.side
        parts = [str(cfg.model[part]) for part in cfg.model if part != "backbone"]
        trained = [p.requires_grad for name, p in model.named_parameters() if not name.startswith("backbone.")]
        likes = [(name, x.shape[1:], x.dtype, x.requires_grad) for name, x in maps.items()]
        key = str([parts, trained, likes, side])
        if key not in self._heads:
            self.tell(f"{side} px: proposal network and heads, one image, really run on the CPU")
            self._heads[key] = run_heads(model, made.make(1), maps, autocast_dtype(cfg))
        return self._heads[key]


def samples_at_once(cfg: DictConfig, num_ranks: int) -> int:
    """Images, clips or pairs that one of `num_ranks` GPUs takes in one forward pass."""
    total = OmegaConf.select(cfg, "dataloader.train.total_batch_size") or 1
    return max(1, -(-total // (num_ranks * cfg.train.accumulation_steps)))


def autocast_dtype(cfg: DictConfig) -> torch.dtype | None:
    """bfloat16, which stands for float16 too, of which the CPU lacks some operations; None without autocast."""
    on_cuda = torch.device(cfg.train.device).type == "cuda"
    return torch.bfloat16 if cfg.train.amp.enabled and on_cuda else None
