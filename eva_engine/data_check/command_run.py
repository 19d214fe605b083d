"""Run data checks for a config: completely for the command `check-data`, without pixels before a training."""

import argparse
import logging

from omegaconf import DictConfig

from eva_backbone.errors import InputError
from eva_engine.config import check_datasets, find_task_of_config, load_config, task_of_config
from eva_engine.config.class_list import settle_class_list

from .data_check import BAD_RECORDS, PARTS, READER, UnknownDatasetError, reader_output_collected
from .findings import CheckResult, Severity, log_finding

logger = logging.getLogger(__name__)


def check_data(args: argparse.Namespace) -> CheckResult:
    """Check the data of a config and of the options of the command `check-data`.

    Raises:
        InputError: The config or the data as a whole cannot be used, or its task has no data check.
    """
    from eva_engine.training.launched_run import find_custom_data  # which imports this module

    cfg = load_config(args.config_file, args.opts, args.trust_recipe)
    task = task_of_config(cfg)
    check_class = task.load("data_check")
    if check_class is None:
        raise InputError(f"the task {task.name} has no data check; give a config of another task")
    with reader_output_collected() as findings:
        custom_data = find_custom_data(args, cfg)
        if custom_data is not None:
            custom_data.apply(cfg, training=not args.eval_only)
        if args.eval_only:
            check_datasets(cfg, training=False)
        else:
            settle_class_list(cfg, training=True)
    result = check_class(cfg, _loaders(cfg, training=not args.eval_only)).run(quick=args.quick)
    # Some data was read for both and has reported the same twice, other data is read once.
    known = {(finding.code, finding.what) for finding in result.findings}
    result.extend(finding for finding in findings if (finding.code, finding.what) not in known)
    return result


def log_quick_findings(cfg: DictConfig) -> None:
    """Log what the part of the data check without pixels finds, without notes; called on rank 0 before a training.

    What readers report themselves is not repeated. An error in the check does not stop the run.
    """
    task = find_task_of_config(cfg)
    check_class = None if task is None else task.load("data_check")
    if check_class is None:
        return
    try:
        check = check_class(cfg, _loaders(cfg, training=True))
        findings = check.run(quick=True).findings if check.is_quick_before_training else []
    except UnknownDatasetError as error:
        logger.info("The data is not checked: %s", error)
        return
    except Exception as error:
        logger.warning("The data was not checked: %s", " ".join(f"{type(error).__name__}: {error}".split()))
        return
    serious = [finding for finding in findings if finding.severity is not Severity.NOTE]
    for finding in serious:
        if finding.code not in (BAD_RECORDS, READER):
            log_finding(finding)
    if serious:
        logger.info("python -m tools check-data shows these findings with images")


def _loaders(cfg: DictConfig, training: bool) -> list[str]:
    """Return the loaders whose data is used."""
    is_used = {"train": training, "test": cfg.dataloader.get("evaluator") is not None}
    return [loader for loader in PARTS if is_used[loader]]
