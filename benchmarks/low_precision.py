"""Weights in bfloat16 against float32 in every task: processor time, peak memory and difference of the outputs.

The models are the published ones with random weights and, by default, four of their blocks; --blocks 0 takes all of
them, and so does `python -m benchmarks.full_size_inference --dtype bfloat16` for the detector. Weights are stored in
float32. Each type runs in a process of its own, which builds the model, loads the weights, and runs it once, as
`predict` does for one image. The difference is that of all outputs, relative to their size: class logits, image
features, class scores of pixels, and for the detector the maps of the pyramid that its heads work on.

    python -m benchmarks.low_precision [--only detection clip] [--blocks 0] [--dtype float16]
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .harness.figure import Figure, record
from .harness.side_by_side import peak_bytes

ROOT = Path(__file__).parents[1]
DETECTOR = ROOT / "projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva.py"


def _depth(blocks: int) -> dict[str, Any]:
    return {"depth": blocks} if blocks else {}


def _detector(blocks: int) -> nn.Module:
    from eva_engine.config import load_config
    from eva_engine.config.instantiation import instantiate

    cfg = load_config(str(DETECTOR))
    if blocks:
        cfg.model.backbone.net.update(depth=blocks, window_block_indexes=list(range(blocks - 1)))
    for predictor in cfg.model.roi_heads.box_predictors:
        predictor.test_score_thresh = 0.0
    return instantiate(cfg.model)


def _classifier(blocks: int) -> nn.Module:
    from eva_classification import create_classifier

    return create_classifier("eva_giant_patch14", img_size=336, **_depth(blocks))


def _clip(blocks: int) -> nn.Module:
    from eva_clip import build_model

    return build_model("eva_clip_g14", visual=_depth(blocks))


def _video(blocks: int) -> nn.Module:
    from eva_video import create_video_classifier

    return create_video_classifier("eva_giant_patch14_video", num_frames=8, **_depth(blocks))


def _segmenter(blocks: int) -> nn.Module:
    from eva_semseg import create_segmentation_model

    return create_segmentation_model("eva_giant_mask2former", num_classes=150, backbone=_depth(blocks))


def _detect(model: Any) -> Tensor:
    maps = []
    model.backbone.register_forward_hook(lambda _module, _inputs, output: maps.extend(output.values()))
    # Random colours instead of a photo: with random weights, the work does not depend on the image.
    model.inference([{"image": 255 * torch.rand(3, 960, 1280)}], do_postprocess=False)
    return torch.cat([level.flatten() for level in maps])


# What is run, how to build it, and a function that returns its outputs.
CASES: dict[str, tuple[str, Callable[[int], nn.Module], Callable[[Any], Tensor]]] = {
    "detection": ("a photo, 1280 px", _detector, _detect),
    "classification": ("4 images, 336 px", _classifier, lambda model: model(torch.randn(4, 3, 336, 336))),
    "clip": ("8 images, 224 px", _clip, lambda model: model.encode_image(torch.randn(8, 3, 224, 224), normalize=True)),
    "video": ("a clip of 8 frames", _video, lambda model: model(torch.randn(1, 3, 8, 224, 224))),
    "segmentation": ("a window, 448 px", _segmenter, lambda model: model(torch.randn(1, 3, 448, 448))),
}


def measure(task: str, blocks: int, dtype: str, weights: str, outputs: str) -> dict[str, float]:
    """Build, load and run a case in this process, write its outputs to a file, and return what was measured."""
    from eva_engine.checkpoint import build_and_load
    from eva_engine.inference_precision import choose_precision

    _, build, run = CASES[task]
    precision = choose_precision(dtype, torch.device("cpu"))
    model, _ = build_and_load(lambda: build(blocks), weights, complete=True, precision=precision)
    model.eval()
    torch.manual_seed(1)
    start = time.process_time()
    with torch.inference_mode():
        result = run(model)
    seconds = time.process_time() - start
    torch.save(result.float(), outputs)
    return {"seconds": seconds, "peak": peak_bytes() / 1e9}


def _in_process(*arguments: object) -> str:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.low_precision", "--process", *map(str, arguments)]
    return subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout


def compare(task: str, blocks: int, dtype: str) -> None:
    """Measure a case in both types, print and record the figures."""
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder, "weights.pth")
        torch.manual_seed(0)
        torch.save(CASES[task][1](blocks).state_dict(), weights)
        measured, outputs = {}, {}
        for name in ("float32", dtype):
            path = Path(folder, f"{name}.pt")
            measured[name] = json.loads(_in_process(task, blocks, name, weights, path).splitlines()[-1])
            outputs[name] = torch.load(path)
    exact = outputs["float32"]
    difference = 100 * float((outputs[dtype] - exact).norm() / exact.norm())
    title = f"{task}, {CASES[task][0]}, {blocks or 'all'} blocks, {dtype}"
    ours, theirs = measured[dtype], measured["float32"]
    for quantity, key, unit in (
        ("processor time", "seconds", "s"),
        ("peak memory, weights included", "peak", "GB"),
    ):
        ratio = theirs[key] / ours[key]
        print(f"{title}: {quantity} {ours[key]:.2f} {unit}, float32 {theirs[key]:.2f} {unit}, {ratio:.2f}x", flush=True)
        record(Figure(title, quantity, unit, ours[key], "float32", theirs[key]))
    print(f"{title}: difference of the outputs {difference:.2f} %", flush=True)
    record(Figure(title, "difference of the outputs", "%", difference))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--blocks", type=int, default=4, help="blocks of the ViT, default: %(default)s; 0 for all")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float16"))
    parser.add_argument("--process", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    logging.disable(logging.INFO)
    if args.process:
        task, blocks, dtype, weights, *outputs = args.process
        print(json.dumps(measure(task, int(blocks), dtype, weights, *outputs)))
        return
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    for task in args.only:
        compare(task, args.blocks, args.dtype)


if __name__ == "__main__":
    main()
