"""The training loader against Detectron2's: photos with boxes and masks, jittered and cropped to 1024 px.

Both load the same records with the same mapper and number of workers; the time includes starting the workers. Peak
memory is that of the main process. Without --annotations the photos are synthetic: noise of 640x480 pixels.

    python -m benchmarks.train_loader [--annotations FILE --images DIR] [--workers 2] [--batches 40] [--rounds 3]
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
from detectron2.data import build_detection_train_loader
from detectron2.data import transforms as T
from detectron2.structures import BoxMode
from PIL import Image

from detectron2_ext.data import TrainingMapper, load_coco_json
from eva_engine.data import build_train_loader

from .harness.side_by_side import compare

BATCH_SIZE, SIDE = 8, 1024
SETTINGS = "TRAIN_LOADER_BENCHMARK"  # environment variable that passes the settings to the measured processes


def detectron2() -> Callable[[], object]:
    return _prepare(build_detection_train_loader)


def ours() -> Callable[[], object]:
    return _prepare(build_train_loader)


def _prepare(build: Callable) -> Callable[[], object]:
    annotations, images, workers, batches = os.environ[SETTINGS].split("\n")
    records = load_coco_json(annotations, images, "photos")[0] if annotations else _synthetic_records(Path(images))
    mapper = TrainingMapper(
        augmentations=[
            T.RandomFlip(horizontal=True),
            T.ResizeScale(min_scale=0.1, max_scale=2.0, target_height=SIDE, target_width=SIDE),
            T.FixedSizeCrop(crop_size=(SIDE, SIDE), pad=False),
        ],
        image_format="RGB",
        use_instance_mask=True,
        recompute_boxes=True,
    )
    loader = build(records, mapper=mapper, total_batch_size=BATCH_SIZE, num_workers=int(workers))
    return lambda: sum(len(batch) for batch in islice(iter(loader), int(batches)))


def _synthetic_records(folder: Path) -> list[dict]:
    outline = [40, 40, 300, 40, 300, 200, 40, 200]
    box = {"bbox": [40, 40, 300, 200], "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0, "iscrowd": 0}
    annotations = [box | {"segmentation": [outline]}] * 7
    return [
        {"file_name": str(file), "image_id": file.stem, "width": 640, "height": 480, "annotations": annotations}
        for file in sorted(folder.glob("*.jpg"))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", default="")
    parser.add_argument("--images", default="")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not args.annotations:
            for number in range(32):
                noise = np.random.default_rng(number).integers(0, 256, (480, 640, 3), dtype=np.uint8)
                Image.fromarray(noise).save(Path(folder, f"{number:02}.jpg"))
        settings = (args.annotations, args.images or folder, args.workers, args.batches)
        os.environ[SETTINGS] = "\n".join(map(str, settings))
        title = f"{args.batches} batches of {BATCH_SIZE} images, {args.workers} workers"
        compare("benchmarks.train_loader", title, "detectron2", "ours", args.rounds, against="Detectron2")


if __name__ == "__main__":
    main()
