r"""Own photos from random weights on a small machine: torchvision's smallest Faster R-CNN and the recipe tiny_cpu.

Both are trained for the same processor time, that of the recipe's default command, and evaluated on the same photos.
Processor time does not depend on the load of the machine: ten minutes of two quiet cores are 1,200 seconds. The photos
are drawn blood smears and real HeLa nuclei; other data can be given in COCO format.

    python -m benchmarks.first_hour [--only smears nuclei] [--iterations 20]
    python -m benchmarks.first_hour --train-json train.json --train-images photos \
        --val-json val.json --val-images photos
"""

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from .first_hour_parts.data_sets import DataSet, write_nuclei, write_smears
from .first_hour_parts.torchvision_detector import processor_seconds, train_peer
from .harness.figure import Figure, record

RECIPE = "projects/ViTDet/configs/custom/tiny_cpu.py"
PEER = "torchvision"
PROCESSES = 2
MADE = {"smears": write_smears, "nuclei": write_nuclei}


def train_ours(data: DataSet, output: Path, overrides: list[str]) -> tuple[float, float]:
    """Run the documented command; return its AP in percent and its processor time in seconds."""
    command = [sys.executable, "-W", "ignore", "-m", "tools", "train", "--num-gpus", str(PROCESSES)]
    command += ["--dist-url", "auto", "--config-file", RECIPE]
    for option in ("train_json", "train_images", "val_json", "val_images"):
        command += [f"--{option.replace('_', '-')}", str(getattr(data, option))]
    start = processor_seconds()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # one for each process
    subprocess.run(
        [*command, f"train.output_dir={output}", *overrides], check=True, env=environment, stdout=subprocess.DEVNULL
    )
    seconds = processor_seconds() - start
    results = json.loads(Path(output, "results.json").read_text(encoding="utf-8"))
    return results["bbox"]["AP"], seconds


def average_precision(data: DataSet, detections: list[dict]) -> float:
    """Return the box AP of COCO results in percent."""
    if not detections:
        return 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(data.val_json))
        evaluation = COCOeval(truth, truth.loadRes(detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return 100 * float(evaluation.stats[0])


def compare(data: DataSet, output: Path, overrides: list[str]) -> None:
    """Train both on `data`, print and record their figures."""
    ours, seconds = train_ours(data, output, overrides)
    print(f"{data.name}: AP {ours:.1f} after {seconds:.0f} s of processor time", flush=True)
    theirs = average_precision(data, train_peer(data, seconds))
    print(f"{data.name}: AP {theirs:.1f} of {PEER} in the same time", flush=True)
    record(
        Figure(data.name, "box AP", "AP", ours, PEER, theirs, relation=""),
        Figure(data.name, "processor time", "s", seconds, PEER, seconds, relation=""),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(MADE), default=list(MADE))
    parser.add_argument("--iterations", help="iterations of our training, for a quick test")
    own = parser.add_argument_group("your own data in COCO format, instead of the made ones")
    own.add_argument("--train-json", type=Path)
    own.add_argument("--train-images", type=Path)
    own.add_argument("--val-json", type=Path)
    own.add_argument("--val-images", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(PROCESSES)
    overrides = [f"train.max_iter={args.iterations}"] if args.iterations else []
    with tempfile.TemporaryDirectory() as folder:
        if args.train_json:
            data = DataSet("own data", args.train_json, args.train_images, args.val_json, args.val_images)
            compare(data, Path(folder, "run"), overrides)
            return
        for name in args.only:
            data = MADE[name](Path(folder, name))
            compare(data, Path(folder, f"{name}_run"), overrides)


if __name__ == "__main__":
    main()
