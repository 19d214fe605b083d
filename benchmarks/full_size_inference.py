"""Time and peak memory of a published detector on one real photo on the CPU.

By default it is the one with 1.07 billion parameters, at 1280 pixels; --config-file takes another recipe.

Without --weights, another process writes random weights in float32 to a temporary file (of 4.3 GB for the default), so
that the figures are those of building, loading and predicting only. Random weights give low scores, so the score
threshold is 0 then, and the model returns the maximum of 100 detections with masks, which is the largest amount of work
after NMS.

    python -m benchmarks.full_size_inference [--config-file RECIPE] [--dtype bfloat16] [--image photo.jpg] \
        [--weights FILE] [--output DIR]
"""

import argparse
import logging
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib
import torch

from .harness.figure import Figure, record

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva.py"
LIMIT = 24 * 10**9


def write_random_weights(config_file: str, path: str) -> None:
    """Write the initial weights of the model, a file as large as the published ones."""
    from detectron2.config import LazyConfig, instantiate

    torch.manual_seed(0)
    torch.save({"model": instantiate(LazyConfig.load(config_file).model).state_dict()}, path)


def predict(
    config_file: Path, weights: Path, image_file: Path, output: Path, threshold: float, label: str, dtype: str
) -> None:
    """Build, load and predict, time each, print the figures, and write the image and its JSON file to ``output``."""
    from detectron2_ext.prediction import DetectionPredictor
    from eva_engine.config import load_config
    from eva_engine.data import read_rgb_image

    overrides = [f"model.roi_heads.box_predictors.{k}.test_score_thresh={threshold}" for k in range(3)]
    start = time.perf_counter()
    cfg = load_config(str(config_file), overrides)
    predictor = DetectionPredictor.from_config(cfg, weights, "cpu", score_threshold=threshold, dtype=dtype)
    num_parameters = sum(p.numel() for p in predictor.model.parameters())
    load_seconds = time.perf_counter() - start
    print(f"{num_parameters:,} parameters built and loaded in {load_seconds:.1f} s")
    image = read_rgb_image(image_file)
    start, cpu_start = time.perf_counter(), time.process_time()
    found = predictor(image, str(image_file))
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    size = f"{image.shape[1]}x{image.shape[0]}, resized for the recipe"
    print(f"{image_file.name} ({size}): {len(found)} detections in {seconds:.1f} s, {cpu_seconds:.1f} s of CPU time")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"peak memory of the process, weights included: {peak / 1e9:.1f} GB (limit {LIMIT / 1e9:.0f} GB)")
    record(
        Figure(f"{label}the model", "parameters", "", num_parameters),
        Figure(f"{label}build and load", "time", "s", load_seconds),
        Figure(f"{label}one photo, {len(found)} detections", "time", "s", seconds),
        Figure(f"{label}one photo, {len(found)} detections", "processor time", "s", cpu_seconds),
        Figure(f"{label}the process, weights included", "peak memory", "GB", peak / 1e9),
    )
    found.save(output / "photo.jpg")
    found.save(output / "photo.json")
    if peak > LIMIT:
        sys.exit("the process used more memory than the limit")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sample = Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")
    parser.add_argument("--config-file", type=Path, default=CONFIG, help="default: EVA on COCO at 1280 pixels")
    parser.add_argument("--image", type=Path, default=sample, help="default: the portrait that comes with matplotlib")
    parser.add_argument("--weights", type=Path, help="default: random")
    parser.add_argument("--output", type=Path, default=Path("output/benchmark"), help="default: %(default)s")
    parser.add_argument("--dtype", default="float32", help="type of the weights, default: %(default)s")
    parser.add_argument("--label", default="", help="begins the names of the figures")
    args = parser.parse_args()
    logging.disable(logging.INFO)
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    if args.weights:
        predict(args.config_file, args.weights, args.image, args.output, 0.05, args.label, args.dtype)
        return
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "random.pth")
        code = "import sys; from benchmarks.full_size_inference import write_random_weights as w; w(*sys.argv[1:])"
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code, str(args.config_file), str(weights)], check=True, cwd=ROOT
        )
        predict(args.config_file, weights, args.image, args.output, 0.0, args.label, args.dtype)


if __name__ == "__main__":
    main()
