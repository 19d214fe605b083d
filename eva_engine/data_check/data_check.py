"""The check of a task's data: what every task does in the same way, and what it leaves to the tasks."""

import copy
import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from omegaconf import DictConfig

from eva_backbone.errors import InputError
from eva_engine.config.instantiation import instantiate
from eva_engine.data.corrupt_data import BadRecord, record_errors_collected
from eva_engine.tasks import all_tasks

from .findings import MAX_EXAMPLES, CheckResult, Example, Finding, Severity, log_finding
from .image_findings import check_images
from .image_scan import ImageSource, ScannedImage

# Names of the parts of the data, by the loader that reads them.
PARTS = {"train": "training", "test": "validation"}
# Codes of what readers report themselves.
BAD_RECORDS, READER = "bad-records", "reader"
_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|\[[^\]]*\]|\b\d+(?:x\d+)?(?:[.,]\d+)*\b|/\S+")


class UnknownDatasetError(InputError):
    """A recipe has a dataset of its own, which the data check cannot read."""


class DataCheck(ABC):
    """Checks the data that a recipe trains on and evaluates on; each task that has a check derives its own.

    Args:
        cfg: Recipe whose `dataloader` names the data.
        loaders: Loaders whose data is checked, "train" and "test".

    Attributes:
        task: Name of the task.
        recipe: Recipe that is used for data given by options alone.
        counted: Plural noun for what `class_counts` counts.
    """

    task: ClassVar[str]
    recipe: ClassVar[str]
    counted: ClassVar[str] = "images"

    def __init__(self, cfg: DictConfig, loaders: Sequence[str] = tuple(PARTS)) -> None:
        self.cfg = cfg
        self.loaders = [name for name in loaders if cfg.dataloader.get(name) is not None]

    @property
    def is_quick_before_training(self) -> bool:
        """Whether the part without pixels costs little compared with what a training run reads anyway."""
        return True

    @abstractmethod
    def read(self, loader: str) -> Any:
        """Read the records of a loader's data without their pixels.

        Bad records may be reported by `eva_engine.data.corrupt_data.RecordErrors`; they become findings.

        Raises:
            InputError: The data as a whole cannot be used.
        """

    def build_dataset(self, loader: str, *known: type, **options: Any) -> Any:
        """Build the dataset of a loader; `options` are added to the recipe's.

        Raises:
            UnknownDatasetError: It is not one of the classes `known`, which the check can read.
        """
        node = copy.deepcopy(self.cfg.dataloader[loader].dataset)
        node.update(options)
        dataset = instantiate(node)
        if not isinstance(dataset, known):
            names = " or ".join(each.__name__ for each in known)
            raise UnknownDatasetError(
                f"dataloader.{loader}.dataset is a {type(dataset).__name__}, which the data check cannot read; it "
                f"takes {names}."
            )
        return dataset

    @abstractmethod
    def facts(self, data: Any) -> Mapping[str, str]:
        """Return what is worth knowing about the data of one loader, such as the number of images."""

    @abstractmethod
    def class_counts(self, data: Any) -> Mapping[str, int]:
        """Return {class name: number of its images or objects}, all classes in the order of the model."""

    @abstractmethod
    def check_records(self, data: Mapping[str, Any]) -> Iterable[Finding]:
        """Yield what can be found without pixels; `data` is {part: what `read` returned}."""

    @abstractmethod
    def scan(self, data: Any, part: str) -> Sequence[ScannedImage]:
        """Read all files of one loader's data; `part` is its name in the progress bar."""

    def check_files(self, data: Mapping[str, Any], scans: Mapping[str, Sequence[ScannedImage]]) -> Iterable[Finding]:
        """Yield what was found in the files; `scans` is {part: what `scan` returned}."""
        return check_images({part: scans[part] for part in data})

    def run(self, *, quick: bool = False) -> CheckResult:
        """Check the data.

        Args:
            quick: Read no pixels.

        Raises:
            InputError: The data as a whole cannot be used.
        """
        result = CheckResult(self.task, counted=self.counted)
        data: dict[str, Any] = {}
        for loader in self.loaders:
            part = PARTS[loader]
            with reader_output_collected() as reader_findings:
                data[part] = self.read(loader)
            result.extend(reader_findings, part)
        result.extend(self.check_records(data))
        if not quick:
            scans = {part: self.scan(found, part) for part, found in data.items()}
            result.extend(self.check_files(data, scans))
        for part, found in data.items():
            result.facts[part] = self.facts(found)
            result.class_counts[part] = self.class_counts(found)
        return result


@contextmanager
def reader_output_collected() -> Iterator[list[Finding]]:
    """Turn the bad records that readers report in the block, and their warnings, into findings after it.

    What is reported several times, because a file is read several times, is one finding.
    """
    findings: list[Finding] = []
    with _warnings_collected() as warnings, record_errors_collected() as bad_records:
        yield findings
    findings += _group_records(dict.fromkeys(bad_records))
    findings += map(_warning_finding, dict.fromkeys(warnings))


def _group_records(records: Iterable[BadRecord]) -> Iterator[Finding]:
    """Yield a finding for each kind of bad record: those whose problems differ in values only."""
    groups: dict[tuple[str, str, str], list[BadRecord]] = {}
    for record in records:
        kind = _VALUES.sub("...", record.problem)
        groups.setdefault((record.source, kind, record.fix), []).append(record)
    for (source, kind, fix), group in groups.items():
        first = group[0]
        what = f"{first.record} {first.problem}" if len(group) == 1 else f"{len(group)} records, each of which {kind}"
        examples = tuple(map(_record_example, group[:MAX_EXAMPLES]))
        yield Finding(BAD_RECORDS, Severity.ERROR, what, len(group), fix, examples, source)


def _record_example(record: BadRecord) -> Example:
    if not record.image:
        return Example(record.record, record.problem)
    return Example(record.image, f"{record.record} {record.problem}", ImageSource(record.image).thumbnail)


def _warning_finding(message: str) -> Finding:
    what, _, fix = message.rstrip(".").rpartition("; ")
    return Finding(READER, Severity.WARNING, what or fix, 1, fix if what else "check whether it is meant")


class _Collector(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != log_finding.__module__:  # findings are returned, too
            self._messages.append(record.getMessage())


@contextmanager
def _warnings_collected() -> Iterator[list[str]]:
    """Collect what this project's readers log, instead of printing it or writing it to the log of a run."""
    messages: list[str] = []
    collector = _Collector(messages)
    packages = {"eva_engine", *(task.package for task in all_tasks())}
    loggers = [logging.getLogger(package) for package in packages]
    before = [(logger, logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [collector], False
    try:
        yield messages
    finally:
        for logger, handlers, propagates in before:
            logger.handlers, logger.propagate = handlers, propagates
