"""Measure variants in turn, each in a process of its own, so that ratios hold although a machine's speed varies."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Self

from tqdm import tqdm

from eva_backbone.errors import InputError

from .variant import Figures, Round, Variant


class MeasuringProcess:
    """The process of a variant; see `measuring_process`.

    Args:
        specification: Its argument.
        figures: Figures that are completed by every round.
    """

    def __init__(self, specification: Mapping[str, Any], figures: Figures) -> None:
        self._figures = figures
        module = "eva_deploy.benchmark.measuring_process"
        # A file, because a process that writes much into a pipe waits until somebody reads it.
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed in __exit__
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", module, json.dumps(specification)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def wait_until_loaded(self) -> None:
        """Wait until the model has predicted for the first time."""
        answer = self._answer()
        if answer is not None:
            self._figures.load_seconds, self._figures.first_seconds = answer["load"], answer["first"]

    def run_round(self) -> None:
        """Predict on all images once, unless the process has failed before."""
        if self._figures.problem or self._process.stdin is None:
            return
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer says why
        answer = self._answer()
        if answer is not None:
            self._figures.rounds.append(Round(answer["seconds"], answer["processor"], answer["total"]))
            self._figures.peak_bytes = answer["peak"]

    def _answer(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            lines = self._errors.read().strip().splitlines()
            self._figures.problem = lines[-1] if lines else f"its process ended with status {self._process.returncode}"
            return None
        answer: dict[str, Any] = json.loads(line)
        if "problem" in answer:
            self._figures.problem = answer["problem"]
            return None
        return answer


def measure(
    specifications: Mapping[Variant, Mapping[str, Any]], figures: Mapping[Variant, Figures], num_rounds: int
) -> None:
    """Measure all variants and complete their figures.

    The models are loaded one after the other. All processes stay until the end, and only one of them works at a time.

    Args:
        specifications: Argument of the process of each variant.
        figures: The figures of each variant.
        num_rounds: Number of rounds.
    """
    with ExitStack() as stack:
        processes: list[MeasuringProcess] = []
        for variant, specification in specifications.items():
            process = stack.enter_context(MeasuringProcess(specification, figures[variant]))
            process.wait_until_loaded()
            processes.append(process)
        for _ in tqdm(range(num_rounds), desc="measure", unit="round"):
            for process in processes:
                process.run_round()


def run_verb(arguments: Sequence[str], purpose: str) -> str:
    """Run a command in a process of its own and return what it prints.

    Args:
        arguments: The verb and its arguments.
        purpose: For the message, such as "the export as ONNX".

    Raises:
        InputError: It failed, and has printed no result.
    """
    code = "import sys; from eva_engine.commands.start import main; sys.exit(main())"
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if (
        done.returncode and not done.stdout.strip()
    ):  # status 1 with a result: an exported model that differs, for example
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        raise InputError(f"{purpose} failed: {lines[-1].removeprefix('error: ')}")
    return done.stdout
