"""Evaluation of a model on the test data of its recipe."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.evaluation import inference_on_dataset, print_csv_format
from detectron2.utils import comm
from omegaconf import DictConfig
from torch import nn
from torch.distributed.fsdp import FSDPModule

from eva_engine.atomic import atomic_path

from .distributed.parallel import gathered_weights
from .precision import Precision


@contextmanager
def as_evaluated(cfg: DictConfig, model: nn.Module) -> Iterator[None]:
    """Forward passes of `model` as evaluations make them: in float32, those of a split one in the run's precision.

    What FSDP has split computes in the type that its weights are gathered in, which the rest has to follow. All
    processes enter together; inside, their forward passes do not wait for each other.
    """
    precision = Precision(cfg.train.amp, torch.device(cfg.train.device).type)
    autocast = precision.autocast() if isinstance(model, FSDPModule) else nullcontext()
    with gathered_weights(model, reshard_after_forward=cfg.train.fsdp.reshard_after_forward), autocast:
        yield


def evaluate(cfg: DictConfig, model: nn.Module) -> dict[str, Any]:
    """Run `model` over `dataloader.test` and score it with `dataloader.evaluator`, the images split among processes.

    Returns:
        {"bbox": {"AP": ..., "AP50": ...}, "segm": {...}}, in percent; {} on every process but the first. The same
        is written to `train.output_dir`/results.json.
    """
    loader, evaluator = instantiate(cfg.dataloader.test), instantiate(cfg.dataloader.evaluator)
    with as_evaluated(cfg, model):
        results = inference_on_dataset(model, loader, evaluator)
    if not comm.is_main_process():
        return {}
    print_csv_format(results)
    # JSON knows no NaN, which stands for a metric without ground truth.
    numbers = {
        task: {k: v if math.isfinite(v) else None for k, v in metrics.items()} for task, metrics in results.items()
    }
    with atomic_path(Path(cfg.train.output_dir, "results.json")) as partial:
        partial.write_text(json.dumps(numbers, indent=2), encoding="utf-8")
    return results
