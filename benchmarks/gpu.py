"""What this project does on a GPU: tests, backbones, detectors, training, classifiers, EVA-CLIP, and memory plans.

    python -m benchmarks.gpu                       under four minutes on a card of the H200's class
    python -m benchmarks.gpu --only backbones plans
    python -m benchmarks.gpu --tiny                tiny models, on any device; the figures mean nothing

Nothing is downloaded; all weights and images are random. Each part runs in a process of its own and has a part of the
time, to which it adds what earlier ones have left over. A case that fails, needs more memory than there is, or starts
too late is named with the reason, and the others go on. After each part, gpu.json and gpu.md in the output folder have
all results so far; during a part, its own file has.

    tests        the tests that are skipped without a GPU
    backbones    images per second and memory of the detection backbones in bfloat16 at 1024, 1280 and 1536 pixels:
                 stock Detectron2's ViT, ours with each kernel, and compiled; fraction of the rate of matrix products
    training     a step of the backbones under autocast with activation checkpointing
    detectors    detection in one image
    classifiers  forward pass and training step against timm; videos, too
    clip         both encoders and a training step against open_clip
    plans        predicted and measured peaks of training steps of every task

Exit status: 0; 1 if a part failed or was stopped, or a test failed.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

import torch

from eva_backbone.errors import InputError
from eva_engine.commands.cli import command_parser, run_command

from .gpu_parts import plans
from .gpu_parts.bench import Bench
from .gpu_parts.report import PartResult, read_part, write_report
from .harness.figure import record
from .harness.process import ROOT
from .harness.process import run_command as run_process

PREDICT, PREDICTIONS = "predictions", "predictions.json"
# A process is stopped this many seconds after the last moment at which a case may start.
GRACE = 6


@dataclass(frozen=True)
class Part:
    """A module of `gpu_parts` with a function `run`, and its seconds of the total time."""

    module: str
    seconds: int


PARTS = {
    "tests": Part("cuda_tests", 25),
    "backbones": Part("backbones", 70),
    "training": Part("training", 30),
    "detectors": Part("detectors", 35),
    "classifiers": Part("classifiers", 25),
    "clip": Part("clip_pairs", 20),
    "plans": Part("plans", 25),
}
SECONDS = sum(part.seconds for part in PARTS.values())


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = command_parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts; default: all")
    parser.add_argument("--tiny", action="store_true", help="tiny models, to try the script on any device")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time for all parts; default: %(default)s")
    parser.add_argument("--output", type=Path, default=Path("output/gpu"), help="folder; default: %(default)s")
    parser.add_argument("--part", choices=[*PARTS, PREDICT], help=argparse.SUPPRESS)  # to be run in this process
    return run_command(_run, parser.parse_args(argv))


def _run(args: argparse.Namespace) -> int:
    if not args.tiny and not torch.cuda.is_available():
        raise InputError("there is no CUDA device; give --tiny to try the script on the CPU with tiny models")
    args.output.mkdir(parents=True, exist_ok=True)
    if args.part == PREDICT:
        plans.write_predictions(args.output / PREDICTIONS, args.tiny)
        return 0
    if args.part:
        run_part(args.part, args.output, args.tiny, args.seconds)
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return run_parts(args.only, args.output, args.tiny, args.seconds)


def run_part(name: str, output: Path, tiny: bool, seconds: float) -> Bench:
    """Run one part in this process; `output`/NAME.json has its results as they come."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    bench = Bench(device, tiny, time.monotonic() + seconds, output / f"{name}.json")
    run: Callable[[Bench], None] = import_module(f".gpu_parts.{PARTS[name].module}", __package__).run
    if name == "plans":
        run = partial(plans.run, predictions=output / PREDICTIONS)
    run(bench)
    return bench


def run_parts(names: Sequence[str], output: Path, tiny: bool, seconds: float) -> int:
    """Run parts in processes of their own, write the report after each, and return the exit status."""
    for stale in output.glob("*.json"):
        stale.unlink()
    start, end = time.monotonic(), 0.0
    scale = seconds / sum(PARTS[name].seconds for name in names)
    results: dict[str, PartResult] = {}
    with _predictions(output, tiny, "plans" in names) as predictions:
        for name in names:
            begin, end = end, end + PARTS[name].seconds * scale
            if name == "plans" and predictions is not None:
                with suppress(subprocess.TimeoutExpired):
                    predictions.wait(max(start + (begin + end) / 2 - time.monotonic(), 0))
            print(f"{name}, {time.monotonic() - start:.0f} s after the start", flush=True)
            left = max(start + end - time.monotonic(), GRACE)
            outcome = run_process(_command(name, output, tiny, left - GRACE), left)
            results[name] = read_part(output / f"{name}.json", outcome)
            record(*results[name].figures)
            write_report(results, output)
    print(f"all parts took {time.monotonic() - start:.0f} s; the results are in {output / 'gpu.md'}")
    return 1 if any(result.failed for result in results.values()) else 0


@contextmanager
def _predictions(output: Path, tiny: bool, needed: bool) -> Iterator[subprocess.Popen | None]:
    """Predict memory while other parts run: predictions need no GPU and take about as long as all measurements."""
    if not needed:
        yield None
        return
    process = subprocess.Popen(_command(PREDICT, output, tiny, 0), cwd=ROOT, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _command(part: str, output: Path, tiny: bool, seconds: float) -> list[str]:
    options = ["--part", part, "--output", str(output.resolve()), "--seconds", f"{seconds:.1f}"]
    return [sys.executable, "-W", "ignore", "-m", "benchmarks.gpu", *options, *(["--tiny"] if tiny else [])]


if __name__ == "__main__":
    sys.exit(main())
