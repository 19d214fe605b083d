"""A folder of photos through `predict`: one photo after another, and with reading, the model and writing overlapped.

The peer reads a photo, runs the model, draws and writes, and only then reads the next one, as a loop over a predictor
does. Ours is `predict_files`, the loop of the command. The photos are one portrait at several megapixels; the weights
of the demo's small detector are random, and ten detections of each photo are drawn.

    python -m benchmarks.predict_folder [--rounds 3] [--photos 24] [--megapixels 2 12] [--batch-size 1 4]
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import matplotlib
import torch

from eva_engine.data.image_file import open_image

from .harness.side_by_side import compare

RECIPE = "projects/ViTDet/configs/demo/cascade_mask_rcnn_vitdet_eva_tiny_hela.py"
OVERRIDES = ("model.roi_heads.box_predictors.2.test_topk_per_image=10",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--megapixels", type=int, nargs="+", default=[2, 12])
    parser.add_argument("--batch-size", type=int, nargs="+", default=[1, 4])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PREDICT_FOLDER"] = folder
        _write_weights(Path(folder, "random.pth"))
        for megapixels in args.megapixels:
            _write_photos(Path(folder, "in"), args.photos, megapixels)
            for batch_size in args.batch_size:
                os.environ["PREDICT_BATCH"] = str(batch_size)
                title = f"{args.photos} photos of {megapixels} megapixels, batches of {batch_size}"
                quantities = ("time", "processor time")
                compare(
                    "benchmarks.predict_folder",
                    title,
                    "one_after_another",
                    "overlapped",
                    args.rounds,
                    against="one after another",
                    quantities=quantities,
                )


def _write_weights(path: Path) -> None:
    from eva_engine.config import load_config
    from eva_engine.config.instantiation import instantiate

    torch.manual_seed(0)
    torch.save({"model": instantiate(load_config(RECIPE, OVERRIDES).model).state_dict()}, path)


def _write_photos(folder: Path, count: int, megapixels: int) -> None:
    folder.mkdir(exist_ok=True)
    with open_image(Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")) as portrait:
        scale = (megapixels * 1e6 / (portrait.width * portrait.height)) ** 0.5
        photo = portrait.resize((round(portrait.width * scale), round(portrait.height * scale)))
    for number in range(count):
        photo.save(folder / f"{number:03}.jpg", quality=90)


def one_after_another() -> Callable[[], None]:
    task, inputs, output = _setup("one_after_another")
    task.folder = output
    output.mkdir(exist_ok=True)

    def run() -> None:
        for item in inputs:
            (result,) = task.predictor.predict([task.read(item)])
            task.write(item, result)

    return run


def overlapped() -> Callable[[], None]:
    from eva_engine.prediction import predict_files

    task, inputs, output = _setup("overlapped")
    batch_size = int(os.environ["PREDICT_BATCH"])

    def run() -> None:
        task.predictor.batch_size = batch_size
        predict_files(task, inputs, output)

    return run


def _setup(name: str):  # type: ignore[no-untyped-def]
    from detectron2_ext.prediction import DetectionFileTask, DetectionPredictor
    from eva_engine.config import load_config
    from eva_engine.prediction import list_inputs

    folder = Path(os.environ["PREDICT_FOLDER"])
    predictor = DetectionPredictor.from_config(
        load_config(RECIPE, OVERRIDES), folder / "random.pth", "cpu", score_threshold=0.0
    )
    output = folder / name
    return DetectionFileTask(predictor), list_inputs([folder / "in"], output).inputs, output


if __name__ == "__main__":
    main()
