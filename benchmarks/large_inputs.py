"""`predict` on much input: many photos, a folder of very many files, and many objects in a large photo.

Each figure is that of a process of `python -m tools predict` with the demo's small detector and random weights, so that
it shows the command and not the model. Peers are the same command on little input.

    python -m benchmarks.large_inputs [--photos 1000] [--files 200000] [--objects 1000]
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import torch
from PIL import Image

from eva_engine.config import load_config
from eva_engine.config.instantiation import instantiate
from eva_engine.data.image_file import open_image

from .harness.figure import Figure, record

ROOT = Path(__file__).parents[1]
RECIPE = "projects/ViTDet/configs/demo/cascade_mask_rcnn_vitdet_eva_tiny_hela.py"
# Every proposal becomes an object, whatever its score and however much it overlaps others.
MANY_OBJECTS = (
    "model.proposal_generator.pre_nms_topk=[2000,2000]",
    "model.proposal_generator.post_nms_topk=[2000,2000]",
    "model.proposal_generator.nms_thresh=1.0",
    "model.roi_heads.box_predictors.2.test_nms_thresh=1.0",
    "model.roi_heads.box_predictors.2.test_score_thresh=0.0",
)
LINKS = 50_000  # to one file; ext4 allows 65,000
MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--objects", type=int, default=1000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.manual_seed(0)
        torch.save({"model": instantiate(load_config(RECIPE).model).state_dict()}, folder / "random.pth")
        with open_image(Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")) as portrait:
            compare_photos(folder, portrait, args.photos)
            compare_files(folder, portrait, args.files)
            compare_objects(folder, portrait, args.objects)


def compare_photos(folder: Path, portrait: Image.Image, count: int) -> None:
    """Compare the peak memory of `count` photos, drawn and written, with that of 20."""
    few = 20
    peaks = {}
    for number in (few, count):
        photos = folder / f"{number} photos"
        photos.mkdir()
        for index in range(number):
            portrait.save(photos / f"{index:05}.jpg")
        peaks[number] = peak_memory(predict_command(folder, photos))
    show(Figure(f"{count:,} photos", "peak memory", "MiB", peaks[count], f"{few} photos", peaks[few]))


def compare_files(folder: Path, portrait: Image.Image, count: int) -> None:
    """Compare the time until the first result in a folder of `count` files with that in a folder of one."""
    seconds = {}
    for number in (1, count):
        photos = folder / f"{number} files"
        photos.mkdir()
        for index in range(number):
            original = photos / f"{index // LINKS * LINKS:07}.jpg"
            if index % LINKS:
                os.link(original, photos / f"{index:07}.jpg")
            else:
                portrait.save(original)
        seconds[number] = seconds_to_first_result(folder, photos)
    show(Figure(f"folder of {count:,} photos", "first result", "s", seconds[count], "one photo", seconds[1]))


def compare_objects(folder: Path, portrait: Image.Image, count: int) -> None:
    """Compare the peak memory of `count` objects with masks in a photo of 24 megapixels with that of one object."""
    photo = folder / "large.jpg"
    portrait.resize((4000, 6000)).save(photo)
    peaks = {}
    for number in (1, count):
        command = predict_command(folder, photo, "--score-threshold", "0", "--max-detections", str(number))
        peaks[number] = peak_memory([*command, *MANY_OBJECTS])
        num_masks = (folder / "out" / "large.json").read_text().count('"segmentation"')
        if num_masks != number:
            raise RuntimeError(f"{num_masks} masks were found, not {number}")
    name = f"photo of 24 megapixels, {count:,} objects"
    show(Figure(name, "peak memory", "MiB", peaks[count], "one object", peaks[1]))


def predict_command(folder: Path, source: Path, *options: str) -> list[str]:
    """Return the command that predicts on `source` and writes to the folder `out`."""
    command = [sys.executable, "-W", "ignore", "-m", "tools", "predict", "--config-file", RECIPE, "--device", "cpu"]
    return [
        *command,
        "--weights",
        f"{folder}/random.pth",
        "--input",
        str(source),
        "--output",
        f"{folder}/out",
        *options,
    ]


def peak_memory(command: Sequence[str]) -> float:
    """Run a command, and return its peak resident memory in MiB."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed with status {os.waitstatus_to_exitcode(status)}")
    return usage.ru_maxrss * 1024 / MIB


def seconds_to_first_result(folder: Path, photos: Path) -> float:
    """Start `predict`, and return the seconds until it has written the first JSON file."""
    first = folder / "out" / "0000000.json"
    first.unlink(missing_ok=True)
    start = time.perf_counter()
    command = predict_command(folder, photos, "--no-images")
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not first.exists() and process.poll() is None:
        time.sleep(0.05)
    seconds = time.perf_counter() - start
    process.send_signal(signal.SIGINT)
    process.wait()
    if not first.exists():
        raise SystemExit(f"no result for {photos}")
    return seconds


def show(figure: Figure) -> None:
    """Print a figure and record it."""
    print(
        f"{figure.name}: {figure.quantity} {figure.ours:.1f} {figure.unit}, {figure.peer} {figure.theirs:.1f}",
        flush=True,
    )
    record(figure)


if __name__ == "__main__":
    main()
