"""The training loop: Detectron2's trainers and hooks, put together from a recipe."""

from typing import Any

from detectron2.config import instantiate
from detectron2.engine import AMPTrainer, SimpleTrainer, create_ddp_model, default_writers, hooks
from detectron2.utils import comm
from omegaconf import DictConfig
from torch import nn

from detectron2_ext.checkpoint import Checkpointer

from .build import build_model
from .evaluation import evaluate

from .optimization import build_optimizer
from .recipe import check_batch_size, check_datasets


def train(cfg: DictConfig, resume: bool = False) -> nn.Module:
    """Train the model of `cfg` from `train.init_checkpoint` for `train.max_iter` iterations; returns the model.

    Writes to `train.output_dir`: checkpoints and `last_checkpoint`, metrics.json, TensorBoard events, the results of
    evaluations.

    Args:
        resume: go on from the last checkpoint in `train.output_dir`, if there is one.

    Raises:
        InputError: data, weights or batch size that do not fit, as far as possible before the model is built.
    """
    check_batch_size(cfg)
    check_datasets(cfg, training=True)
    scheduler = instantiate(cfg.lr_multiplier)
    loader = instantiate(cfg.dataloader.train)

    last = _last_checkpoint(cfg.train.output_dir) if resume else ""
    model = build_model(cfg, last or cfg.train.init_checkpoint)
    optimizer = build_optimizer(cfg, model)
    trainer_class = AMPTrainer if cfg.train.amp.enabled else SimpleTrainer
    trainer = trainer_class(create_ddp_model(model, **_ddp_keywords(cfg)), loader, optimizer)
    checkpointer = Checkpointer(model, cfg.train.output_dir, trainer=trainer)
    trainer.register_hooks(_hooks(cfg, model, scheduler, checkpointer))
    start_iter = 0
    if last:
        checkpointer.resume_or_load(last, resume=True)
        start_iter = trainer.iter + 1
    trainer.train(start_iter, cfg.train.max_iter)
    return model


def _last_checkpoint(output_dir: str) -> str:
    checkpointer = Checkpointer(nn.Module(), output_dir)
    return checkpointer.get_checkpoint_file() if checkpointer.has_checkpoint() else ""


def _hooks(
    cfg: DictConfig, model: nn.Module, scheduler: Any, checkpointer: Checkpointer
) -> list[hooks.HookBase | None]:
    main = comm.is_main_process()
    has_evaluator = cfg.dataloader.get("evaluator") is not None
    return [
        hooks.IterationTimer(),
        hooks.LRScheduler(scheduler=scheduler),
        hooks.PeriodicCheckpointer(checkpointer, period=cfg.train.checkpointer.period, max_to_keep=cfg.train.checkpointer.max_to_keep) if main else None,
        hooks.EvalHook(cfg.train.eval_period, lambda: evaluate(cfg, model)) if has_evaluator else None,
        # Last, so that it writes what the others measured.
        hooks.PeriodicWriter(default_writers(cfg.train.output_dir, cfg.train.max_iter), period=cfg.train.log_period)
        if main
        else None,
    ]


def _ddp_keywords(cfg: DictConfig) -> dict[str, Any]:
    keywords = dict(cfg.train.ddp)
    if cfg.train.device == "cpu":
        keywords["device_ids"] = None
    return keywords
