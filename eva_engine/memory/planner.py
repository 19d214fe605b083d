"""Predict the peak memory of one GPU in a recipe's training step."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from .fake_step import StepSettings
from .optimizer_state import state_bytes
from .persistent_memory import PersistentMemory, persistent_memory
from .planned_model import model_on_meta
from .synthetic_batch import SyntheticBatch, find_synthetic_batch
from .tracker import Phase


@dataclass(frozen=True)
class MemoryPlan:
    """Predicted bytes on one GPU.

    Attributes:
        persistent: What stays from step to step.
        phase_peaks: The peak in each phase of a step, `persistent` included.
        num_samples: Images, clips or pairs that one GPU processes at a time.
        sample: Description of one of them.
        side: Side of the images in pixels.
    """

    persistent: PersistentMemory
    phase_peaks: dict[str, int]
    num_samples: int
    sample: str
    side: int

    @property
    def peak(self) -> int:
        """The peak of the whole step."""
        return max(self.phase_peaks.values())


class MemoryPlanner:
    """Plan several recipes, and measure a step that they share only once.

    A step is run on tensors without storage, in seconds; the heads of a detector are run on the CPU, which takes about
    half a minute.

    Args:
        num_ranks: Number of processes, one per GPU, unless `plan` is given another one.
        num_objects: Objects per image, or classes in segmentation; by default as many as the task may have.
        report: Called with a line about work that takes long.
    """

    def __init__(
        self, num_ranks: int = 1, num_objects: int | None = None, report: Callable[[str], None] = lambda _: None
    ) -> None:
        self.num_ranks, self.num_objects, self.report = num_ranks, num_objects, report
        self._measured: dict[str, list[Phase]] = {}
        self._cache: dict[str, Any] = {}

    def plan(self, cfg: DictConfig, num_ranks: int | None = None) -> MemoryPlan:
        """Predict the memory of a training step of `cfg`.

        Raises:
            InputError: A model or settings that cannot be planned.
        """
        ranks = num_ranks or self.num_ranks
        model = model_on_meta(cfg)
        batch = find_synthetic_batch(cfg, model, self.num_objects)
        num_samples = samples_per_forward(cfg, ranks)
        persistent = persistent_memory(cfg, model, state_bytes(cfg, model), ranks, batch.extra_modules(model))
        # With FSDP the gradients that a backward pass makes are counted with the gathered blocks.
        gradients_accumulate = persistent.fresh_gradients > 0 and cfg.train.parallel != "fsdp"
        phase_peaks = {}
        for phase in self._measure(batch, num_samples, ranks):
            gathered = persistent.backward if phase.is_backward else persistent.forward
            peak = phase.peak_with_gradients if gradients_accumulate else phase.peak
            phase_peaks[phase.name] = persistent.total + gathered + peak
        phase_peaks["optimizer step"] = persistent.total + persistent.fresh_gradients + persistent.step
        return MemoryPlan(persistent, phase_peaks, num_samples, batch.sample, batch.side)

    def _measure(self, batch: SyntheticBatch, num_samples: int, ranks: int) -> list[Phase]:
        cfg = batch.cfg
        settings = StepSettings(
            torch.device(cfg.train.device).type,
            autocast_dtype(cfg),
            low_precision_blocks=cfg.train.parallel == "fsdp",
            num_ranks=ranks if batch.couples_processes else 1,
        )
        adaptations = [str(cfg.train[key]) for key in ("freeze", "lora", "activation_checkpointing")]
        collate = OmegaConf.select(cfg, "dataloader.train.collate")
        key = str([cfg.model, batch.sample, adaptations, settings, num_samples, collate])
        if key not in self._measured:
            precision = str(settings.autocast_dtype or "float32").removeprefix("torch.")
            self.report(f"{num_samples} {batch.sample} at a time, {precision}")
            self._measured[key] = batch.measure_step(num_samples, settings, self.report, self._cache)
        return self._measured[key]


def samples_per_forward(cfg: DictConfig, num_ranks: int) -> int:
    """Return the number of samples that one of `num_ranks` GPUs processes in one forward pass."""
    total = OmegaConf.select(cfg, "dataloader.train.total_batch_size") or 1
    return max(1, -(-total // (num_ranks * cfg.train.accumulation_steps)))


def autocast_dtype(cfg: DictConfig) -> torch.dtype | None:
    """Return bfloat16 with autocast on CUDA, else None; it replaces float16, which some CPU operations lack."""
    on_cuda = torch.device(cfg.train.device).type == "cuda"
    if cfg.train.amp.enabled and on_cuda:
        return torch.bfloat16
    return None
