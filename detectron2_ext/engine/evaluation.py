"""Evaluation of a model on the test data of its recipe."""

import json
import math
from pathlib import Path
from typing import Any

from detectron2.config import instantiate
from detectron2.evaluation import inference_on_dataset, print_csv_format
from detectron2.utils import comm
from omegaconf import DictConfig
from torch import nn

from detectron2_ext.atomic import atomic_path

from .distributed.gathered_weights import gathered_weights


def evaluate(cfg: DictConfig, model: nn.Module) -> dict[str, Any]:
    """Run `model` over `dataloader.test` and score it with `dataloader.evaluator`, the images split among processes.

    Returns:
        {"bbox": {"AP": ..., "AP50": ...}, "segm": {...}}, in percent; {} on every process but the first. The same
        is written to `train.output_dir`/results.json.
    """
    loader, evaluator = instantiate(cfg.dataloader.test), instantiate(cfg.dataloader.evaluator)
    with gathered_weights(model, reshard_after_forward=cfg.train.fsdp.reshard_after_forward):
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
