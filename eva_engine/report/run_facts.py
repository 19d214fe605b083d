"""Collect facts about a run from its recipe and its logged scalars."""

import os
import platform
from datetime import timedelta
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from eva_engine.processes import get_world_size

from .curves import TrainingCurves


def run_facts(cfg: DictConfig, curves: TrainingCurves, config_file: str = "", trained: bool = True) -> dict[str, str]:
    """Return the known facts about a run of any task.

    Args:
        cfg: Recipe of the run.
        curves: Scalars that the run has logged.
        config_file: File of the recipe.
        trained: Whether the run was a training, not only an evaluation of weights.

    Returns:
        Values by name.
    """
    if not trained:
        facts = {
            "Recipe": config_file,
            "Model": _target(cfg, "model"),
            "Weights": str(_get(cfg, "train.init_checkpoint", "")),
            "Test data": _names(cfg, "dataloader.test.dataset.names"),
            "Machine": _machine(cfg),
        }
    else:
        precision = str(_get(cfg, "train.amp.dtype", "float16")) if _get(cfg, "train.amp.enabled") else "float32"
        facts = {
            "Recipe": config_file,
            "Model": _target(cfg, "model"),
            "Training data": _names(cfg, "dataloader.train.dataset.names"),
            "Training": _training(cfg, curves),
            "Start": str(_get(cfg, "train.init_checkpoint") or "random weights"),
            "Optimizer": _optimizer(cfg),
            "Precision": precision,
            "Machine": _machine(cfg),
            **_measured(curves),
        }
    return {name: value for name, value in facts.items() if value}


def _get(cfg: DictConfig, key: str, default: Any = None) -> Any:
    return OmegaConf.select(cfg, key, default=default)


def _target(cfg: DictConfig, key: str) -> str:
    """Return the name of the class or function that a part of the recipe calls."""
    target = _get(cfg, f"{key}._target_", "")
    if isinstance(target, str):
        return target.rpartition(".")[2]
    return getattr(target, "__name__", str(target))


def _names(cfg: DictConfig, key: str) -> str:
    names = _get(cfg, key) or ""
    return names if isinstance(names, str) else ", ".join(map(str, names))


def _training(cfg: DictConfig, curves: TrainingCurves) -> str:
    planned = _get(cfg, "train.max_iter")
    # Those in metrics.json: of all starts of the run, also if it stopped early or was resumed with another schedule.
    done = max((max(series) + 1 for series in curves.losses.values() if series), default=planned)
    parts = [f"{planned} iterations" if done == planned else f"{done} iterations of {planned} planned"]
    if batch := _get(cfg, "dataloader.train.total_batch_size"):
        parts[0] += f" of {batch} images" if done == planned else f", {batch} images each"
    if (steps := _get(cfg, "train.accumulation_steps", 1)) > 1:
        parts.append(f"in {steps} micro-batches each")
    if (seed := _get(cfg, "train.seed", -1)) >= 0:
        parts.append(f"seed {seed}")
    return ", ".join(parts)


def _optimizer(cfg: DictConfig) -> str:
    parts = [_target(cfg, "optimizer")]
    for key, label in (("optimizer.lr", "lr"), ("optimizer.weight_decay", "weight decay")):
        if (value := _get(cfg, key)) is not None:
            parts.append(f"{label} {value:g}")
    if limit := _get(cfg, "train.clip_grad_norm"):
        parts.append(f"gradient norm up to {limit:g}")
    if _get(cfg, "train.ema.enabled"):
        parts.append(f"moving average of weights {_get(cfg, 'train.ema.decay')}")
    if rank := _get(cfg, "train.lora.rank"):
        parts.append(f"LoRA of rank {rank}")
    return ", ".join(filter(None, parts))


def _machine(cfg: DictConfig) -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    device = f"{cores} CPU cores ({platform.machine()})"
    if str(_get(cfg, "train.device", "cpu")).startswith("cuda") and torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    processes = get_world_size()
    if processes > 1:
        device = f"{processes} processes ({_get(cfg, 'train.parallel', 'ddp')}), each: {device}"
    return f"{device}, PyTorch {torch.__version__}"


def _measured(curves: TrainingCurves) -> dict[str, str]:
    """Return facts from metrics.json, which covers all starts of the run.

    The iterations between two logged ones are assumed to take as long as the later one.
    """
    times, images = curves.other.get("time", {}), curves.other.get("images", {})
    facts: dict[str, str] = {}
    if times:
        seconds, last = 0.0, -1
        for iteration, duration in times.items():
            seconds += duration * (iteration - last)
            last = iteration
        facts["Time"] = f"about {timedelta(seconds=round(seconds))} for training, without evaluations"
        facts["Speed"] = f"{seconds / (last + 1):.3g} s per iteration"
        timed = [iteration for iteration in times if iteration in images]
        if timed:
            rate = sum(images[iteration] for iteration in timed) / sum(times[iteration] for iteration in timed)
            facts["Speed"] += f", {rate:.3g} images/s"
    if memory := curves.other.get("peak_memory_gib"):
        facts["Peak memory"] = f"{max(memory.values()):.3g} GiB on rank 0"
    return facts
