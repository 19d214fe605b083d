"""What a data check finds, and the one way in which readers and commands log it."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import Any

import numpy as np

logger = logging.getLogger(__name__)

MAX_EXAMPLES = 8


class Severity(StrEnum):
    """How serious a finding is, from the most to the least serious."""

    ERROR = "error"  # training stops at it, skips it, or measures something else than what is meant
    WARNING = "warning"  # allowed, but most likely not intended
    NOTE = "note"  # worth knowing

    @property
    def rank(self) -> int:
        """Position in the order of seriousness, from 0."""
        return list(Severity).index(self)


@dataclass(frozen=True)
class Example:
    """One place where a finding occurs.

    Attributes:
        file: File of the image, video or record.
        text: What is wrong there; may be empty.
        draw: Function that draws the example as RGB [H, W, 3] uint8; None if there is nothing to see.
    """

    file: str
    text: str = ""
    draw: Callable[[], np.ndarray] | None = None

    def __str__(self) -> str:
        return f"{self.file}: {self.text}" if self.text else self.file


@dataclass(frozen=True)
class Finding:
    """One kind of flaw of a dataset.

    Attributes:
        code: Short name of the kind, such as "cut-boxes"; does not change between versions.
        severity: How serious it is.
        what: What was found, the first part of a sentence.
        count: Number of images, objects or records concerned.
        fix: How to fix it, the second part of the sentence.
        examples: Up to `MAX_EXAMPLES` places.
        source: File or part of the data in which it was found.
    """

    code: str
    severity: Severity
    what: str
    count: int
    fix: str
    examples: tuple[Example, ...] = ()
    source: str = ""

    @property
    def sentence(self) -> str:
        """The finding as one sentence for the log."""
        start = f"{self.source}: {self.what}" if self.source else self.what
        return f"{start}; {self.fix}."

    def as_json(self) -> dict[str, Any]:
        """Return the finding as an object for JSON."""
        examples = [{"file": example.file, "text": example.text} for example in self.examples]
        return {
            "code": self.code,
            "severity": str(self.severity),
            "source": self.source,
            "what": self.what,
            "count": self.count,
            "fix": self.fix,
            "examples": examples,
        }


def stored_findings(findings: Iterable[Finding]) -> list[tuple[str, str, str, int, str]]:
    """Return findings as values of JSON for `restored_findings`, without their examples and source."""
    return [(found.code, str(found.severity), found.what, found.count, found.fix) for found in findings]


def restored_findings(stored: Iterable[Sequence[Any]], source: str) -> list[Finding]:
    """Return the findings that were stored for a file when it was read for the first time."""
    findings = []
    for code, severity, what, count, fix in stored:
        findings.append(Finding(code, Severity(severity), what, count, fix, source=source))
    return findings


@dataclass
class CheckResult:
    """Result of the check of a dataset.

    Attributes:
        task: Name of the task.
        facts: {part of the data: {name of a fact: its value}}.
        class_counts: {part of the data: {class name: number of its images, objects or pixels}}.
        counted: Plural noun for what `class_counts` counts.
        findings: Findings, the most serious first.
    """

    task: str
    facts: dict[str, Mapping[str, str]] = field(default_factory=dict)
    class_counts: dict[str, Mapping[str, int]] = field(default_factory=dict)
    counted: str = "images"
    findings: list[Finding] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """0, or 1 if there is an error."""
        return int(any(finding.severity is Severity.ERROR for finding in self.findings))

    def extend(self, findings: Iterable[Finding], source: str = "") -> None:
        """Add findings; `source` is that of those without one."""
        for finding in findings:
            self.findings.append(replace(finding, source=finding.source or source))
        self.findings.sort(key=lambda found: found.severity.rank)

    def as_json(self) -> dict[str, Any]:
        """Return the result as an object for JSON."""
        return {
            "task": self.task,
            "facts": {part: dict(facts) for part, facts in self.facts.items()},
            "counted": self.counted,
            "class_counts": {part: dict(counts) for part, counts in self.class_counts.items()},
            "findings": [finding.as_json() for finding in self.findings],
        }


def log_finding(finding: Finding) -> None:
    """Log a finding as a warning, but not again when the same data is read or checked for another purpose."""
    _log_once(finding.sentence)


@cache
def _log_once(sentence: str) -> None:
    logger.warning("%s", sentence)
