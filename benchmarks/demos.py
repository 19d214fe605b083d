"""Results of the demos of the five tasks: accuracy on held-out data, training time. There is no peer.

The trained models are then evaluated once more with weights in bfloat16, against the results in float32 of the demo,
and the detector with test-time augmentation, against the results without.
All demos take about eight minutes on two cores. Each writes to a temporary folder.

    python -m benchmarks.demos [--only clip video] [--iterations 20]
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .harness.figure import Figure, record, show_value


@dataclass(frozen=True)
class Reading:
    """A figure in the output of a demo: the first number of the pattern; a second number is that of `peer`."""

    name: str
    quantity: str
    unit: str
    pattern: str
    peer: str = ""


NUMBER = r"(\d+(?:\.\d+)?)"
SECONDS = Reading("training", "time", "s", f"Training took {NUMBER} s")
DEMOS = {
    "detection": [
        Reading("held-out tiles", "box AP", "AP", f"held-out HeLa nuclei, boxes +{NUMBER}"),
        Reading("held-out tiles", "mask AP", "AP", f"held-out HeLa nuclei, masks +{NUMBER}"),
        Reading("nuclei of another laboratory", "box AP", "AP", f"other nuclei, boxes +{NUMBER}"),
        Reading("nuclei of another laboratory", "mask AP", "AP", f"other nuclei, masks +{NUMBER}"),
        SECONDS,
    ],
    "classification": [
        Reading("pre-trained and fine-tuned", "top-1", "%", f"then fine-tuned +{NUMBER}%"),
        Reading("pre-trained and fine-tuned", "processor time", "s", f"then fine-tuned +[\\d.]+% +{NUMBER} s"),
        Reading("from scratch", "top-1", "%", f"from scratch +{NUMBER}%"),
        Reading("from scratch", "processor time", "s", f"from scratch +[\\d.]+% +{NUMBER} s"),
    ],
    "clip": [
        Reading("phrasings of the training", "top-1", "%", f"training phrasings, averaged +{NUMBER}%"),
        Reading("held-out phrasings", "top-1", "%", f"held-out phrasings, averaged +{NUMBER}%"),
        Reading("the worst held-out phrasing alone", "top-1", "%", f"on average, {NUMBER} % to"),
        Reading("the best held-out phrasing alone", "top-1", "%", f"on average, [\\d.]+ % to {NUMBER} %"),
        Reading("training and evaluation", "time", "s", f"{NUMBER} s; figures"),
    ],
    "video": [
        Reading(
            name, "top-1", "%", f"{NUMBER}% of \\d+ held-out {name} are right; guessing gives {NUMBER}%", "guessing"
        )
        for name in ("samples", "directions", "speeds")
    ]
    + [Reading("training", "processor time", "s", f"Processor time: {NUMBER} s")],
    "segmentation": [
        Reading("held-out regions", "mIoU", "%", f"  mIoU +{NUMBER}"),
        Reading("nuclei", "IoU", "%", f"  IoU nucleus +{NUMBER}"),
        Reading("bacteria", "IoU", "%", f"  IoU bacterium +{NUMBER}"),
        SECONDS,
    ],
}


def read_text(task: str, text: str) -> list[Figure]:
    """Return the figures in the output of the demo of `task`, a key of `DEMOS`.

    Raises:
        ValueError: If a figure is missing.
    """
    figures = []
    for reading in DEMOS[task]:
        match = re.search(reading.pattern, text)
        if match is None:
            raise ValueError(f"the demo of {task} printed no {reading.quantity} of {reading.name}")
        ours, *theirs = map(float, match.groups())
        title = f"{task}, {reading.name}"
        peer = theirs[0] if theirs else None
        figures.append(Figure(title, reading.quantity, reading.unit, ours, reading.peer, peer, relation=""))
    return figures


@dataclass(frozen=True)
class Evaluation:
    """An evaluation of a demo's model.

    Attributes:
        run: Folder of the training run in that of the demo.
        metrics: Quantity and unit, and "task/metric" in results.json.
        config: Recipe; by default the config.yaml of the run.
    """

    run: str
    metrics: dict[tuple[str, str], str]
    config: str = ""


EVALUATIONS = {
    # Its config.yaml names data that only the recipe registers.
    "detection": Evaluation(
        "",
        {("box AP", "AP"): "bbox/AP", ("mask AP", "AP"): "segm/AP"},
        "projects/ViTDet/configs/demo/cascade_mask_rcnn_vitdet_eva_tiny_hela.py",
    ),
    "classification": Evaluation("finetuned", {("top-1", "%"): "accuracy/top1"}),
    "clip": Evaluation("run", {("top-1", "%"): "zero_shot/top1"}),
    "video": Evaluation("", {("top-1", "%"): "accuracy/top1"}),
    "segmentation": Evaluation("", {("mIoU", "%"): "sem_seg/mIoU"}),
}


@dataclass(frozen=True)
class Variant:
    """A way to evaluate a demo's model again.

    Attributes:
        name: End of the figures' names.
        options: Options of `evaluate`.
        peer: What the demo's own evaluation is called.
    """

    name: str
    options: tuple[str, ...]
    peer: str


BFLOAT16 = Variant("weights in bfloat16", ("--dtype", "bfloat16"), "float32")
TTA = Variant("test-time augmentation", ("--tta",), "one view")


def evaluate_again(task: str, folder: Path, variant: Variant) -> list[Figure]:
    """Evaluate the model of a finished demo in another way; the other column is the demo's own result."""
    evaluation = EVALUATIONS[task]
    run, output = folder / evaluation.run, folder / variant.name.replace(" ", "_")
    config = evaluation.config or str(run / "config.yaml")
    options = ["--config-file", config, "--weights", str(run / "model_final.pth"), *variant.options]
    _run_tool("evaluate", *options, f"train.output_dir={output}", DETECTRON2_DATASETS=str(folder / "datasets"))
    found, expected = (json.loads(Path(path, "results.json").read_text(encoding="utf-8")) for path in (output, run))
    figures = []
    for (quantity, unit), key in evaluation.metrics.items():
        group, metric = key.split("/")
        values = found[group][metric], expected[group][metric]
        figures.append(
            Figure(f"{task}, {variant.name}", quantity, unit, values[0], variant.peer, values[1], relation="")
        )
    return figures


def _run_tool(*arguments: str, **environment: str) -> str:
    command = [sys.executable, "-W", "ignore", "-m", "tools", *arguments]
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(DEMOS), default=list(DEMOS))
    parser.add_argument("--iterations", help="iterations of each training, for a quick test")
    args = parser.parse_args()
    options = ["--iterations", args.iterations] if args.iterations else []
    for task in args.only:
        with tempfile.TemporaryDirectory() as folder:
            text = _run_tool(f"demo-{task}", "--output", str(Path(folder, task)), *options)
            for figure in read_text(task, text):
                print(f"{figure.name}: {figure.quantity} {show_value(figure.ours, figure.unit)}", flush=True)
                record(figure)
            for variant in [BFLOAT16, TTA] if task == "detection" else [BFLOAT16]:
                for figure in evaluate_again(task, Path(folder, task), variant):
                    difference = f"{figure.ours - (figure.theirs or 0):+.2f} against {variant.peer}"
                    value = show_value(figure.ours, figure.unit)
                    print(f"{figure.name}: {figure.quantity} {value}, {difference}", flush=True)
                    record(figure)


if __name__ == "__main__":
    main()
