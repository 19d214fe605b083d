"""A recipe's memory in one row: training with one sample at a time, fully or in part, and inference."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .advice import LORA_RANK, Load
from .planned_model import model_on_meta
from .planner import MemoryPlanner
from .synthetic_batch import find_synthetic_batch

_ONE_SAMPLE = ("dataloader.train.total_batch_size=1", "train.accumulation_steps=1")


@dataclass(frozen=True)
class MemorySummary:
    """Predicted peaks in bytes on one GPU.

    Attributes:
        num_parameters: Parameters of the model.
        sample: Description of one sample.
        full: Training of all parameters that the recipe trains.
        lora: Training with low-rank changes of the backbone; None where training starts from random weights.
        frozen: Training with a frozen backbone; None where training starts from random weights.
        inference: Inference on one sample in float32, weights included.
    """

    num_parameters: int
    sample: str
    full: int
    lora: int | None
    frozen: int | None
    inference: int


def summarize(load: Load, report: Callable[[str], None]) -> MemorySummary:
    """Plan a recipe with one sample at a time.

    Args:
        load: Loads the recipe with further overrides.
        report: Called with a line about work that takes long.
    """
    planner = MemoryPlanner(report=report)
    cfg = load(_ONE_SAMPLE)
    model = model_on_meta(load([*_ONE_SAMPLE, "train.freeze=[]"]))
    batch = find_synthetic_batch(cfg, model)
    lora = frozen = None
    if batch.backbone_patterns:
        lora = planner.plan(load([*_ONE_SAMPLE, f"train.lora.rank={LORA_RANK}"])).peak
        frozen = planner.plan(load([*_ONE_SAMPLE, f"train.freeze=[{','.join(batch.backbone_patterns)}]"])).peak
    weights = sum(tensor.numel() * tensor.element_size() for tensor in (*model.parameters(), *model.buffers()))
    return MemorySummary(
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        sample=batch.sample,
        full=planner.plan(cfg).peak,
        lora=lora,
        frozen=frozen,
        inference=weights + batch.measure_inference(torch.device(cfg.train.device).type, report),
    )
