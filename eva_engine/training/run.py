"""A training run: check the recipe, build its parts, and train."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.engine import HookBase
from detectron2.engine.hooks import IterationTimer
from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng
from omegaconf import DictConfig
from torch import nn

from eva_backbone.errors import InputError
from eva_engine.checkpoint import RunCheckpoints, read_file
from eva_engine.checkpoint.run_folder import RunFolder
from eva_engine.compilation import check_compilation, compile_blocks
from eva_engine.config import check_batch_size, check_datasets
from eva_engine.config.class_list import settle_class_list
from eva_engine.config.instantiation import instantiate

from .build import build_training_model, rebuild_training_model
from .distributed import parallelize
from .evaluation import evaluate
from .hooks import CheckpointHook, EvaluationHook, MetricsHook, ScheduleHook, StopSignalHook, UserHooks
from .monitoring import BestMetric, build_writers, check_best_metric, check_writers, read_evaluations
from .optimization import build_ema, build_optimizer
from .precision import Precision
from .run_state import RunState, check_entry, check_state, read_state
from .trainer import Trainer
from .validation_loss import ValidationLoss, validation_dataset

logger = logging.getLogger(__name__)


@dataclass
class Run:
    """The parts of a run, ready to train.

    Attributes:
        cfg: The recipe.
        model: The model that owns the parameters.
        trainer: Its trainer.
        state: The state that checkpoints contain.
        checkpoints: The checkpoints in `train.output_dir`.
        start_iter: First iteration, above 0 if the run is resumed.
        user_hooks: Hooks of the recipe.
        best: Comparison of its evaluations, None if no metric is followed.
    """

    cfg: DictConfig
    model: nn.Module
    trainer: Trainer
    state: RunState
    checkpoints: RunCheckpoints
    start_iter: int
    user_hooks: UserHooks
    best: BestMetric | None

    def train(self) -> None:
        """Train up to `train.max_iter` iterations, with evaluations and checkpoints."""
        self.trainer.register_hooks(_hooks(self))
        self.trainer.train(self.start_iter, self.cfg.train.max_iter)


def train(cfg: DictConfig, resume: bool = False) -> nn.Module:
    """Train the model of `cfg` from `train.init_checkpoint` for `train.max_iter` iterations, and return it.

    This writes to `train.output_dir`: checkpoints and `last_checkpoint`, metrics.json, TensorBoard events, the results
    of evaluations.

    Args:
        cfg: The recipe.
        resume: Continue from the last intact checkpoint in `train.output_dir`, if there is one.

    Raises:
        InputError: Data, weights or a batch size that do not fit the recipe; found before the model is built where
            possible.
    """
    settle_class_list(cfg, training=True, resume=resume)
    run = prepare_run(cfg, resume)
    run.train()
    return run.model


def prepare_run(cfg: DictConfig, resume: bool = False) -> Run:
    """Check `cfg` and build the parts of its run; see :func:`train`."""
    checkpoints = check_run(cfg)
    if not resume:
        RunFolder(Path(cfg.train.output_dir)).check_new()
    return build_run(cfg, checkpoints, checkpoints.find_last() if resume else None)


def check_run(cfg: DictConfig) -> RunCheckpoints:
    """Check everything in `cfg` that can be checked without a model, and return the checkpoints of its run.

    Raises:
        InputError: Data, batch size, metric, writer, schedule or number of checkpoints that do not fit the recipe, or
            `train.compile` without a compiler.
    """
    check_batch_size(cfg)
    check_datasets(cfg, training=True)
    check_best_metric(cfg)
    check_writers(cfg)
    if cfg.train.validation_loss:
        validation_dataset(cfg)
    check_compilation(cfg.train)
    instantiate(cfg.lr_multiplier)
    instantiate(cfg.get("weight_decay_multiplier"))
    settings = cfg.train.checkpointer
    return RunCheckpoints(cfg.train.output_dir, max_to_keep=settings.max_to_keep, asynchronous=settings.asynchronous)


def build_run(cfg: DictConfig, checkpoints: RunCheckpoints, last: Path | None = None) -> Run:
    """Build the parts of a run, from the start or from the checkpoint `last` among `checkpoints`."""
    # FSDP reads a sharded checkpoint into its own shards, after the model is built. In all other cases the weights are
    # read as full tensors before it, and the model is built from them.
    reads_shards = last is not None and last.is_dir() and cfg.train.parallel == "fsdp"
    content: dict[str, Any] | None = None
    if last is not None and not reads_shards:
        content = read_state(last)
    seed = _seed(cfg, content, last)
    user_hooks, best = UserHooks(cfg.train.hooks), BestMetric.of_run(cfg.train)
    parts: dict[str, Any] = {"hooks": user_hooks}
    if best is not None:
        parts["best"] = best
    # All processes start from the same weights, and then draw different augmentations and dropped paths.
    seed_all_rng(seed)
    model = build_training_model(cfg) if last is None else rebuild_training_model(cfg, content, last)
    ema = build_ema(cfg.train.ema, model)
    averaged_models = [] if ema is None else [ema.module]
    parallel_model = parallelize(model, cfg.train, *averaged_models)
    if cfg.train.compile:
        compile_blocks(model, "train.compile=True")
    seed_all_rng(seed + comm.get_rank())
    trainer = Trainer(
        parallel_model,
        instantiate(cfg.dataloader.train),
        build_optimizer(cfg, model),
        Precision(cfg.train.amp, str(cfg.train.device).partition(":")[0]),
        accumulation_steps=cfg.train.accumulation_steps,
        clip_grad_norm=cfg.train.clip_grad_norm,
        max_skipped_steps=cfg.train.max_skipped_steps,
        ema=ema,
    )
    state = RunState(model, trainer, seed, cfg.train.lora if cfg.train.lora.rank > 0 else None, parts)
    start_iter = 0
    if last is None:
        logger.info("Random seed of this run: %d", seed)
    else:
        if content is None:
            content = check_state(checkpoints.load(last, state.state_dict()), last)
        start_iter = content["iteration"] + 1
        if start_iter > cfg.train.max_iter:
            raise InputError(
                f"{last} was written after {start_iter:,} iterations, more than train.max_iter={cfg.train.max_iter}; "
                "resume with the config that wrote it, or raise train.max_iter"
            )
        _skip_batches(trainer.loader, start_iter)
        state.load_state_dict(content)
        logger.info("Resuming from %s at iteration %d of %d", last, start_iter, cfg.train.max_iter)
    return Run(cfg, model, trainer, state, checkpoints, start_iter, user_hooks, best)


def _seed(cfg: DictConfig, content: dict[str, Any] | None, last: Path | None) -> int:
    """Seed of the run: that of the checkpoint, else the recipe's, else a new one that all processes share."""
    if content is not None:
        return content["seed"]
    if last is not None:
        return check_entry(read_file(last, ("seed",)), "seed", last)
    return comm.shared_random_seed() if cfg.train.seed < 0 else cfg.train.seed


def _skip_batches(loader: Any, num_batches: int) -> None:
    """Let a loader continue where the run stopped, without reading the images before."""
    if hasattr(loader, "skip"):
        loader.skip(num_batches)
    else:
        logger.warning(
            "%s cannot skip batches: the resumed run sees other images than an uninterrupted one", type(loader).__name__
        )


def _hooks(run: Run) -> list[HookBase]:
    """Return the hooks of a run, in the order in which they act after an iteration."""
    cfg, train = run.cfg, run.cfg.train
    evaluations = _evaluations(run)
    writers, earlier_results = [], []
    if comm.is_main_process():
        earlier_results = read_evaluations(Path(train.output_dir, "metrics.json"), run.start_iter)
        writers = build_writers(cfg, run.start_iter)
    metrics_hook = MetricsHook(writers, train.log_period, train.eval_period if evaluations else 0)
    checkpoint_hook = CheckpointHook(run.state, run.checkpoints, train.checkpointer.period)
    hooks = [StopSignalHook(), IterationTimer(), ScheduleHook("lr", instantiate(cfg.lr_multiplier))]
    if cfg.get("weight_decay_multiplier") is not None:
        hooks.append(ScheduleHook("weight_decay", instantiate(cfg.weight_decay_multiplier)))
    if run.user_hooks.hooks:
        hooks.append(run.user_hooks)
    # Metrics are written before the checkpoint, so that no checkpoint contains an iteration without its metrics.
    hooks += [metrics_hook, checkpoint_hook]
    if evaluations:
        hooks.append(
            EvaluationHook(
                partial(_evaluate_all, evaluations),
                train.eval_period,
                metrics_hook,
                checkpoint_hook,
                best=run.best,
                earlier_results=earlier_results,
            )
        )
    return hooks


def _evaluations(run: Run) -> list[Callable[[], dict[str, Any]]]:
    """Return functions that evaluate the weights, or their moving average; all processes call them."""
    cfg, ema = run.cfg, run.trainer.ema
    model = ema.module if ema is not None and cfg.train.ema.evaluate else run.model
    evaluations: list[Callable[[], dict[str, Any]]] = []
    if cfg.train.validation_loss:
        evaluations.append(ValidationLoss(cfg, model, run.trainer.precision))
    if cfg.dataloader.get("evaluator") is not None:
        evaluations.append(partial(evaluate, cfg, model))
    return evaluations


def _evaluate_all(evaluations: Sequence[Callable[[], dict[str, Any]]]) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for evaluation in evaluations:
        results |= evaluation()
    return results
