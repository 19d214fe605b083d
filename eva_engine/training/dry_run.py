"""What a run would do, tried on two batches and one test image."""

import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.utils import comm
from omegaconf import DictConfig
from torch import nn

from .evaluate import as_evaluated
from .micro_batches import count_images, first_image
from .monitoring.progress import peak_memory_gib
from .training import Run, build_run, check_run

logger = logging.getLogger(__name__)


def dry_run(cfg: DictConfig, checkpoint_folder: str) -> None:
    """Build everything, train two iterations, pass one image through the evaluation, and log the plan. Saves nothing.

    Args:
        cfg: recipe of the run, with `train.output_dir` set to a folder that may be thrown away.
        checkpoint_folder: the real one, whose disk is looked at.

    Raises:
        InputError: whatever would stop the run itself.
    """
    check_run(cfg)
    run = build_run(cfg)
    seconds = _train_twice(run)
    metrics = {name: value for name, (value, _) in run.trainer.storage.latest().items()}
    lines = [*_describe_model(cfg, run), *_describe_training(cfg, run, metrics, seconds)]
    lines += _describe_checkpoints(cfg, run, checkpoint_folder)
    if cfg.dataloader.get("evaluator") is not None:
        lines += _try_evaluation(cfg, run.model)
    if comm.is_main_process():
        width = max(len(name) for name, _ in lines)
        logger.info("The plan:\n%s", "\n".join(f"  {name:<{width}}  {text}" for name, text in lines))


def _train_twice(run: Run) -> float:
    """Seconds of the second of two iterations; the first one also fills caches and starts workers."""
    moments: list[float] = []
    run.trainer.after_step = lambda: moments.append(time.perf_counter())
    run.trainer.train(0, 2)
    return moments[1] - moments[0]


def _describe_model(cfg: DictConfig, run: Run) -> Iterator[tuple[str, str]]:
    parameters = list(run.model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    total = sum(p.numel() for p in parameters)
    yield "model", f"{type(run.model).__name__}, {total:,} parameters, {trained:,} of them trained"
    yield "weights", cfg.train.init_checkpoint or "random"
    world = comm.get_world_size()
    how = "" if world == 1 and cfg.train.parallel == "ddp" else f", {world} processes, {cfg.train.parallel}"
    yield "precision", f"{run.trainer.precision} on {run.trainer.device.type}{how}"


def _describe_training(
    cfg: DictConfig, run: Run, metrics: dict[str, float], seconds: float
) -> Iterator[tuple[str, str]]:
    trainer, images = run.trainer, int(metrics["images"])
    parts = f" in {trainer.accumulation_steps} parts" if trainer.accumulation_steps > 1 else ""
    yield "an iteration", f"{images} images{parts}"
    num_records = getattr(trainer.loader, "num_records", 0)
    epochs = (
        f" = {cfg.train.max_iter * images / num_records:.1f} epochs of {num_records:,} images" if num_records else ""
    )
    yield "training", f"{cfg.train.max_iter:,} iterations{epochs}"
    groups = trainer.optimizer.param_groups
    rates = [group["lr"] for group in groups]
    yield (
        "optimizer",
        f"{type(trainer.optimizer).__name__}, {len(groups)} groups, learning rate {min(rates):.3g} to {max(rates):.3g}",
    )
    losses = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items() if "loss" in name)
    yield "losses", f"{losses}, gradient norm {metrics['grad_norm']:.4g}"
    yield (
        "time",
        f"{seconds:.2f} s an iteration, {_hours(seconds * cfg.train.max_iter)} in all without evaluations",
    )
    yield "peak memory", f"{peak_memory_gib(str(cfg.train.device)):.2f} GiB a process"


def _describe_checkpoints(cfg: DictConfig, run: Run, folder: str) -> Iterator[tuple[str, str]]:
    state = run.state.state_dict()
    size = sum(value.numel() * value.element_size() for value in _tensors(state))
    settings = cfg.train.checkpointer
    period = settings.period if settings.period > 0 else cfg.train.max_iter
    number = min(settings.max_to_keep, -(-cfg.train.max_iter // period))
    free = shutil.disk_usage(_existing(folder)).free
    short = "" if free > size * (number + 1) else ": NOT ENOUGH"
    when = f"every {period:,} iterations" if period < cfg.train.max_iter else "at the end"
    yield (
        "checkpoints",
        f"{when}, {size / 1e9:.2f} GB each, {number} kept: "
        f"{size * number / 1e9:.2f} GB of {free / 1e9:.1f} GB free{short}",
    )


def _try_evaluation(cfg: DictConfig, model: nn.Module) -> Iterator[tuple[str, str]]:
    loader, evaluator = instantiate(cfg.dataloader.test), instantiate(cfg.dataloader.evaluator)
    batch = next(iter(loader))
    inputs = first_image(batch)
    model.eval()
    start = time.perf_counter()
    with torch.no_grad(), as_evaluated(cfg, model):
        outputs = model(inputs)
    seconds = time.perf_counter() - start
    evaluator.reset()
    evaluator.process(inputs, outputs)
    when = f"every {cfg.train.eval_period:,} iterations" if cfg.train.eval_period else "at the end"
    total = seconds * count_images(batch) * len(loader)  # this process's batches
    yield "evaluation", f"{when}, {len(loader.dataset):,} images, {seconds:.2f} s for the first: {_hours(total)}"


def _tensors(state: Any) -> Iterator[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        yield state
    elif isinstance(state, dict):
        for value in state.values():
            yield from _tensors(value)


def _existing(folder: str) -> str:
    path = Path(folder).resolve()
    return str(next(p for p in (path, *path.parents) if p.exists()))


def _hours(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
