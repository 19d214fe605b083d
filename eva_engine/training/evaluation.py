"""Evaluation of a model on the test data of its recipe."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from detectron2.evaluation import inference_on_dataset, print_csv_format
from detectron2.utils import comm
from omegaconf import DictConfig, OmegaConf
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.utils.data import DataLoader

from eva_engine.atomic import atomic_path
from eva_engine.compilation import uncompiled
from eva_engine.config import task_of_config
from eva_engine.config.instantiation import instantiate
from eva_engine.data.workers import TIMEOUT
from eva_engine.report.explanation import write_explanation

from .distributed.parallel import gathered_weights
from .precision import Precision


@contextmanager
def evaluation_context(cfg: DictConfig, model: nn.Module) -> Iterator[None]:
    """Set the precision of forward passes in evaluation: float32, or the run's precision if FSDP has sharded the model.

    Blocks run uncompiled. The results are then those of the command `evaluate` for the same weights, images of all
    sizes need no compilation, and the code that training compiles does not depend on evaluations before it, which a
    resumed run may not have made.

    The blocks of a sharded model compute in the dtype that their weights are gathered in, so autocast has to give the
    other layers the same dtype. All processes must enter the context together; inside, their forward passes are
    independent of each other.
    """
    precision = Precision(cfg.train.amp, torch.device(cfg.train.device).type)
    autocast = precision.autocast() if isinstance(model, FSDPModule) else nullcontext()
    gathered = gathered_weights(model, reshard_after_forward=cfg.train.fsdp.reshard_after_forward)
    with gathered, autocast, uncompiled(model):
        yield


def evaluate(cfg: DictConfig, model: nn.Module) -> dict[str, Any]:
    """Run `model` on `dataloader.test` and compute metrics with `dataloader.evaluator`, over all processes.

    If the recipe has a `dataloader.inference`, the module that the task makes of it and the model is run instead, for
    example one that predicts slices of the images.

    Returns:
        {task: {metric: value}}, such as {"bbox": {"AP": ..., "AP50": ...}, "segm": {...}}, on rank 0, and {} on the
        other ranks. The units are those of the evaluator. Rank 0 also writes them to `train.output_dir`/results.json,
        and what the evaluator has to explain to explanation.json.
    """
    loader, evaluator = instantiate(cfg.dataloader.test), instantiate(cfg.dataloader.evaluator)
    if isinstance(loader, DataLoader) and loader.num_workers:  # Detectron2's builder has no option for it
        loader.timeout = loader.timeout or TIMEOUT
    tested = model
    if OmegaConf.select(cfg, "dataloader.inference", default=None) is not None:
        tested = task_of_config(cfg).load("inference")(cfg, model)
    with evaluation_context(cfg, model):
        results = inference_on_dataset(tested, loader, evaluator)
    if not comm.is_main_process():
        return {}
    print_csv_format(results)
    with atomic_path(Path(cfg.train.output_dir, "results.json")) as partial:
        partial.write_text(json.dumps(_without_nan(results), indent=2), encoding="utf-8")
    write_explanation(evaluator, cfg, loader)
    return results


def _without_nan(results: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """Replace NaN, the value of a metric without ground truth, with None: JSON has no NaN."""
    replaced = {}
    for task, metrics in results.items():
        replaced[task] = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
    return replaced
