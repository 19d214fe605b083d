"""Try a run on two batches and one test image, and print what it would do."""

import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from detectron2.engine import HookBase
from detectron2.utils import comm
from omegaconf import DictConfig
from torch import nn

from eva_engine.config.instantiation import instantiate

from .evaluation import evaluation_context
from .micro_batches import count_images, first_image
from .monitoring.progress import peak_memory_gib
from .optimization.parameter_groups import lr_factor
from .run import Run, build_run, check_run

logger = logging.getLogger(__name__)


def dry_run(cfg: DictConfig, checkpoint_folder: str) -> None:
    """Build everything, train for two iterations, evaluate one image, and log the plan of the run. Nothing is saved.

    Args:
        cfg: Recipe of the run, with `train.output_dir` set to a temporary folder.
        checkpoint_folder: `train.output_dir` of the run itself, to find its free disk space.

    Raises:
        InputError: Any error that would stop the run itself.
    """
    run = build_run(cfg, check_run(cfg))
    seconds = _train_two_iterations(run)
    metrics = {name: value for name, (value, _) in run.trainer.storage.latest().items()}
    lines = [*_describe_model(run), *_describe_training(run, metrics, seconds)]
    lines += _describe_checkpoints(run, checkpoint_folder)
    if cfg.dataloader.get("evaluator") is not None:
        lines += _try_evaluation(cfg, run.model)
    if comm.is_main_process():
        width = max(len(name) for name, _ in lines)
        logger.info("Planned run:\n%s", "\n".join(f"  {name:<{width}}  {text}" for name, text in lines))


class _Stopwatch(HookBase):
    """Record the time after each iteration."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def after_step(self) -> None:
        self.times.append(time.perf_counter())


def _train_two_iterations(run: Run) -> float:
    """Return the seconds of the second iteration; the first one also compiles, fills caches and starts workers."""
    stopwatch = _Stopwatch()
    run.trainer.register_hooks([stopwatch])
    run.trainer.train(0, 2)
    return stopwatch.times[1] - stopwatch.times[0]


def _describe_model(run: Run) -> Iterator[tuple[str, str]]:
    train = run.cfg.train
    parameters = list(run.model.parameters())
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    total = sum(parameter.numel() for parameter in parameters)
    yield "model", f"{type(run.model).__name__}, {total:,} parameters, {trained:,} of them trained"
    yield "weights", train.init_checkpoint or "random"
    precision = f"{run.trainer.precision} on {run.trainer.device.type}"
    world_size = comm.get_world_size()
    if world_size > 1 or train.parallel != "ddp":
        precision += f", {world_size} processes, {train.parallel}"
    if train.compile:
        precision += ", compiled blocks"
    yield "precision", precision


def _describe_training(run: Run, metrics: dict[str, float], seconds: float) -> Iterator[tuple[str, str]]:
    train, trainer = run.cfg.train, run.trainer
    num_images = int(metrics["images"])
    iteration = f"{num_images} images"
    if trainer.accumulation_steps > 1:
        iteration += f" in {trainer.accumulation_steps} micro-batches"
    yield "batch", iteration
    training = f"{train.max_iter:,} iterations"
    num_records = getattr(trainer.loader, "num_records", 0)
    if num_records:
        training += f" = {train.max_iter * num_images / num_records:.1f} epochs of {num_records:,} images"
    yield "training", training
    rates = [group["lr"] for group in trainer.optimizer.param_groups]
    optimizer = f"{type(trainer.optimizer).__name__}, {len(rates)} groups"
    scaled = f", x {lr_factor(run.cfg):.3g} for the batch (train.lr_batch_size)" if train.lr_batch_size else ""
    yield "optimizer", f"{optimizer}, learning rate {min(rates):.3g} to {max(rates):.3g}{scaled}"
    losses = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items() if "loss" in name)
    yield "losses", f"{losses}, gradient norm {metrics['grad_norm']:.4g}"
    total = _format_duration(seconds * train.max_iter)
    yield "time", f"{seconds:.2f} s per iteration, {total} in total without evaluations"
    yield "peak memory", f"{peak_memory_gib(str(train.device)):.2f} GiB per process"


def _describe_checkpoints(run: Run, folder: str) -> Iterator[tuple[str, str]]:
    train = run.cfg.train
    size = sum(tensor.numel() * tensor.element_size() for tensor in _tensors(run.state.state_dict()))
    period = train.checkpointer.period if train.checkpointer.period > 0 else train.max_iter
    num_written = -(-train.max_iter // period)  # rounded up
    num_kept = min(train.checkpointer.max_to_keep, num_written)
    free = shutil.disk_usage(_nearest_existing(folder)).free
    # A new checkpoint is written before the oldest one is deleted.
    warning = "" if free > size * (num_kept + 1) else ": NOT ENOUGH"
    interval = f"every {period:,} iterations" if period < train.max_iter else "at the end"
    yield (
        "checkpoints",
        f"{interval}, {size / 1e9:.2f} GB each, {num_kept} kept: "
        f"{size * num_kept / 1e9:.2f} GB of {free / 1e9:.1f} GB free{warning}",
    )


def _try_evaluation(cfg: DictConfig, model: nn.Module) -> Iterator[tuple[str, str]]:
    loader, evaluator = instantiate(cfg.dataloader.test), instantiate(cfg.dataloader.evaluator)
    batch = next(iter(loader))
    inputs = first_image(batch)
    model.eval()
    start = time.perf_counter()
    with torch.no_grad(), evaluation_context(cfg, model):
        outputs = model(inputs)
    seconds = time.perf_counter() - start
    evaluator.reset()
    evaluator.process(inputs, outputs)
    interval = f"every {cfg.train.eval_period:,} iterations" if cfg.train.eval_period else "at the end"
    total = _format_duration(seconds * count_images(batch) * len(loader))  # the loader has this process's batches
    yield "evaluation", f"{interval}, {len(loader.dataset):,} images, {seconds:.2f} s for the first: {total}"


def _tensors(state: Any) -> Iterator[torch.Tensor]:
    """Return all tensors in a nested dict."""
    if isinstance(state, torch.Tensor):
        yield state
    elif isinstance(state, dict):
        for value in state.values():
            yield from _tensors(value)


def _nearest_existing(folder: str) -> Path:
    """Return the folder itself, or the nearest parent that exists."""
    path = Path(folder).resolve()
    while not path.exists():
        path = path.parent
    return path


def _format_duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
