"""Processor time of starting: --help, mistakes that need no model, and the prediction of one photo.

The measure is the time of importing torch, torchvision, timm and Detectron2, which a command would take before it does
anything. The photo goes through the demo's detector with random weights. Modules are compiled to bytecode in a run that
is not counted, as they are after the first command of an installation.

    python -m benchmarks.startup [--rounds 5]
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from eva_engine.commands.verbs import find_verbs
from eva_engine.config import load_config
from eva_engine.config.instantiation import instantiate

from .harness.figure import Figure, record

RECIPE = "projects/ViTDet/configs/demo/cascade_mask_rcnn_vitdet_eva_tiny_hela.py"
PACKAGES = "import torch, torchvision, timm, detectron2.config, detectron2.modeling"
# Everything that `predict` imports before it builds the model.
PREDICTION_IMPORTS = f"""
from eva_engine.commands.import_time import defer_slow_imports
defer_slow_imports()
from eva_engine.config import load_config, task_of_config
from eva_engine.inspection.recipe_choice import choose_recipe
from eva_engine.prediction import predict_files
task = task_of_config(load_config({RECIPE!r}))
task.load("predictor"), task.load("file_task")
"""
MISTAKES = {
    "missing recipe": ("train", "--config-file", "missing.py"),
    "missing weights": ("evaluate", "--weights", "missing.pth"),
    "missing photo": ("predict", "--config-file", RECIPE, "--weights", "{weights}", "--input", "missing.jpg"),
    "output that is a file": ("train", "--config-file", RECIPE, "train.output_dir={weights}"),
    "wrong key": ("train", "--config-file", RECIPE, "train.max_itr=5"),
    "wrong value": ("plan", "--config-file", RECIPE, "train.max_iter=many"),
    "wrong option": ("predict", "--config-file", RECIPE, "--weights", "{weights}", "--input", "{photo}", "--top", "3"),
}


class Processes:
    """Measure processes with a common cache of bytecode."""

    def __init__(self, rounds: int, cache: Path) -> None:
        self.rounds = rounds
        self.environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(cache)}
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def run(self, arguments: Sequence[str], status: int) -> float:
        """Run Python with `arguments` and return its processor time in seconds.

        Raises:
            RuntimeError: It ended with another status.
        """
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != status:
            raise RuntimeError(f"{' '.join(arguments)} ended with the status {done.returncode}: {done.stderr[-500:]}")
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    def median(self, *arguments: str, status: int = 0) -> float:
        """Return the median of the processor times of Python with `arguments`."""
        return statistics.median(self.run(arguments, status) for _ in range(self.rounds))


def write_inputs(folder: Path) -> dict[str, str]:
    """Write the weights of a detector and a photo, and return their paths by name."""
    weights, photo = folder / "weights.pth", folder / "photo.png"
    torch.manual_seed(0)
    torch.save({"model": instantiate(load_config(RECIPE).model).state_dict()}, weights)
    pixels = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    Image.fromarray(pixels).resize((960, 640)).save(photo)
    return {"weights": str(weights), "photo": str(photo), "output": str(folder / "output")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = write_inputs(folder)
        processes = Processes(args.rounds, folder / "bytecode")
        predict = ["-m", "tools", "predict", "--config-file", RECIPE, "--device", "cpu", "--weights", inputs["weights"]]
        predict += ["--input", inputs["photo"], "--output", inputs["output"]]
        for command in (["-c", PACKAGES], predict):  # compiles the modules
            processes.run(command, 0)

        packages = processes.median("-c", PACKAGES)

        def show(title: str, seconds: float) -> None:
            print(f"{title:50} {seconds:6.2f} s, the packages alone {packages:.2f} s", flush=True)
            record(Figure(title, "processor time", "s", seconds, "their imports", packages))

        show(
            "--help, the slowest command", max(processes.median("-m", "tools", verb, "--help") for verb in find_verbs())
        )
        for mistake, arguments in MISTAKES.items():
            words = [word.format(**inputs) for word in arguments]
            show(f"{mistake}, {arguments[0]}", processes.median("-m", "tools", *words, status=2))
        show("imports of a prediction", processes.median("-c", PREDICTION_IMPORTS))
        show("prediction of one photo, in all", processes.median(*predict))


if __name__ == "__main__":
    main()
