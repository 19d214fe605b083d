"""A training run from beginning to end."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectron2.config import instantiate
from detectron2.engine import HookBase
from detectron2.engine.hooks import IterationTimer
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from omegaconf import DictConfig
from torch import nn

from eva_backbone.errors import InputError
from eva_engine.checkpoint import RunCheckpoints, read_file
from eva_engine.checkpoint.run_folder import RunFolder
from eva_engine.config import check_batch_size, check_datasets

from .build import build_training_model, rebuild_training_model
from .distributed import parallelize
from .evaluate import evaluate
from .hooks import CheckpointHook, Evaluate, MetricsHook, ScheduleHook, StopSignalHook
from .monitoring import BestMetric, build_writers, check_best_metric, check_writers, read_evaluations
from .optimization import build_ema, build_optimizer
from .precision import Precision
from .run_state import RunState, read_state
from .trainer import Trainer

logger = logging.getLogger(__name__)


@dataclass
class Run:
    """The parts of a run, ready to train."""

    model: nn.Module
    trainer: Trainer
    state: RunState
    start_iter: int


def train(cfg: DictConfig, resume: bool = False, started: Callable[[], None] | None = None) -> nn.Module:
    """Train the model of `cfg` from `train.init_checkpoint` for `train.max_iter` iterations; returns the model.

    Writes to `train.output_dir`: checkpoints and `last_checkpoint`, metrics.json, TensorBoard events, the results of
    evaluations.

    Args:
        resume: go on from the last intact checkpoint in `train.output_dir`, if there is one.
        started: called when all fits, before the first iteration.

    Raises:
        InputError: data, weights or batch size that do not fit, as far as possible before the model is built.
    """
    checkpoints = check_run(cfg)
    if not resume:
        check_new_run(cfg.train.output_dir)
    run = build_run(cfg, checkpoints, checkpoints.find_last() if resume else None)
    if started is not None:
        started()
    run.trainer.register_hooks(_hooks(cfg, run, checkpoints))
    run.trainer.train(run.start_iter, cfg.train.max_iter)
    return run.model


def check_run(cfg: DictConfig) -> RunCheckpoints:
    """Find out what of `cfg` would stop its run, as far as no model is needed; the run's checkpoints.

    Raises:
        InputError: data, batch size, metric, writer, schedule or number of checkpoints that do not fit.
    """
    check_batch_size(cfg)
    check_datasets(cfg, training=True)
    check_best_metric(cfg)
    check_writers(cfg)
    instantiate(cfg.lr_multiplier)
    instantiate(cfg.get("weight_decay_multiplier"))
    settings = cfg.train.checkpointer
    return RunCheckpoints(cfg.train.output_dir, max_to_keep=settings.max_to_keep, asynchronous=settings.asynchronous)


def build_run(cfg: DictConfig, checkpoints: RunCheckpoints | None = None, last: Path | None = None) -> Run:
    """All that trains, from the beginning or from the checkpoint `last` among `checkpoints`."""
    sharded = last is not None and last.is_dir() and cfg.train.parallel == "fsdp"
    content: dict[str, Any] | None = None if last is None or sharded else read_state(last)
    if last is not None:
        seed = (content or read_file(last, ("seed",)))["seed"]
    else:
        seed = comm.shared_random_seed() if cfg.train.seed < 0 else cfg.train.seed
    # The same weights everywhere, other images and another drop path in every process.
    seed_all_rng(seed)
    model = rebuild_training_model(cfg, content, last) if last else build_training_model(cfg)
    ema = build_ema(cfg.train.ema, model)
    called = parallelize(model, cfg.train, *([] if ema is None else [ema.module]))
    seed_all_rng(seed + comm.get_rank())
    trainer = Trainer(
        called,
        instantiate(cfg.dataloader.train),
        build_optimizer(cfg, model),
        Precision(cfg.train.amp, str(cfg.train.device).partition(":")[0]),
        accumulation_steps=cfg.train.accumulation_steps,
        clip_grad_norm=cfg.train.clip_grad_norm,
        max_skipped_steps=cfg.train.max_skipped_steps,
        ema=ema,
    )
    state = RunState(model, trainer, seed, cfg.train.lora if cfg.train.lora.rank > 0 else None)
    start_iter = 0
    if last is not None and checkpoints is not None:
        if content is None:
            content = checkpoints.load(last, state.state_dict())
        start_iter = content["iteration"] + 1
        _skip(trainer.loader, start_iter)
        state.load_state_dict(content)
        logger.info("Going on from %s at iteration %d of %d", last, start_iter, cfg.train.max_iter)
    else:
        logger.info("Random seed of this run: %d", seed)
    return Run(model, trainer, state, start_iter)


def check_new_run(output_dir: str) -> None:
    """Whether a run may begin in the folder `output_dir`.

    Raises:
        InputError: it holds the checkpoints of an earlier one.
    """
    earlier = RunFolder(Path(output_dir)).checkpoints()
    if earlier:
        raise InputError(
            f"{output_dir} holds checkpoints of an earlier run, the last one is {earlier[0].name}; add --resume to go "
            "on from it, or give a new folder with train.output_dir"
        )


def _skip(loader: Any, num_batches: int) -> None:
    if hasattr(loader, "skip"):
        loader.skip(num_batches)
    else:
        logger.warning("%s cannot skip: the resumed run sees other images than it would have", type(loader).__name__)


def _hooks(cfg: DictConfig, run: Run, checkpoints: RunCheckpoints) -> list[HookBase]:
    train = cfg.train
    earlier = read_evaluations(Path(train.output_dir, "metrics.json"), run.start_iter) if comm.is_main_process() else []
    writers = build_writers(cfg, run.start_iter) if comm.is_main_process() else []
    is_evaluated = cfg.dataloader.get("evaluator") is not None
    writing = MetricsHook(writers, train.log_period, train.eval_period if is_evaluated else 0)
    saving = CheckpointHook(run.state, checkpoints, train.checkpointer.period)
    hooks = [StopSignalHook(), IterationTimer(), ScheduleHook("lr", instantiate(cfg.lr_multiplier))]
    if cfg.get("weight_decay_multiplier") is not None:
        hooks.append(ScheduleHook("weight_decay", instantiate(cfg.weight_decay_multiplier)))
    # What is measured is written down before the checkpoint that says it was done.
    hooks += [writing, saving]
    if is_evaluated:
        measured = run.trainer.ema.module if run.trainer.ema is not None and train.ema.evaluate else run.model
        metric, mode = train.checkpointer.best_metric, train.checkpointer.best_mode
        evaluation = Evaluate(
            lambda: evaluate(cfg, measured),
            train.eval_period,
            earlier=earlier,
            best=BestMetric(metric, mode) if metric else None,
            save_best=saving.save_best,
            write=writing.write,
        )
        hooks.append(evaluation)
    return hooks
