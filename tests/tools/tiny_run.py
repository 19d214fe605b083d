"""A detector small enough to train in a test, and synthetic data for it."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

CONFIGS = Path(__file__).parents[2] / "projects" / "ViTDet" / "configs"
SIDE = 64

# The published recipe, shrunk by the same kind of overrides that a user would give.
TINY = [
    "model.backbone.net.img_size=64",
    "model.backbone.net.embed_dim=32",
    "model.backbone.net.depth=2",
    "model.backbone.net.num_heads=2",
    "model.backbone.net.window_size=2",
    "model.backbone.net.window_block_indexes=[0]",
    "model.backbone.out_channels=16",
    "model.backbone.square_pad=64",
    "model.proposal_generator.head.in_channels=16",
    "model.roi_heads.batch_size_per_image=16",
    "dataloader.test.mapper.augmentations.0.short_edge_length=64",
    "dataloader.test.mapper.augmentations.0.max_size=64",
    "dataloader.test.num_workers=0",
]
TINY_CASCADE = [
    override
    for stage in range(3)
    for override in (
        f"model.roi_heads.box_heads.{stage}.input_shape.channels=16",
        f"model.roi_heads.box_heads.{stage}.conv_dims=[16]",
        f"model.roi_heads.box_heads.{stage}.fc_dims=[32]",
        f"model.roi_heads.box_predictors.{stage}.input_shape.channels=32",
    )
]
TINY_MASK = ["model.roi_heads.mask_head.input_shape.channels=16", "model.roi_heads.mask_head.conv_dims=[16,16]"]
TINY_TRAINING = [
    "dataloader.train.mapper.augmentations.1.target_height=64",
    "dataloader.train.mapper.augmentations.1.target_width=64",
    "dataloader.train.mapper.augmentations.2.crop_size=[64,64]",
    "dataloader.train.total_batch_size=2",
    "dataloader.train.num_workers=0",
    "train.max_iter=3",
    "train.log_period=1",
    "train.seed=1",
]


def write_data(folder: Path, masks: bool = True, num_images: int = 4) -> tuple[str, str]:
    """COCO-format data of bright squares and planks, one image of them empty; returns (JSON file, image folder).

    Category ids have gaps and are in no order.
    """
    rng = np.random.default_rng(0)
    images, annotations = [], []
    (folder / "images").mkdir(parents=True)
    for image_id in range(10, 10 + num_images):
        pixels = rng.integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
        for number in range(0 if image_id == 10 else 3):
            width, height = (20, 20) if number % 2 else (30, 8)
            x, y = (int(v) for v in rng.integers(0, SIDE - 30, 2))
            pixels[y : y + height, x : x + width] = 250
            record = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": 900 if number % 2 else 7,
                "bbox": [x, y, width, height],
                "area": width * height,
                "iscrowd": 0,
            }
            if masks:
                record["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
            annotations.append(record)
        Image.fromarray(pixels).save(folder / "images" / f"{image_id}.png")
        images.append({"id": image_id, "file_name": f"{image_id}.png", "height": SIDE, "width": SIDE})
    categories = [{"id": 900, "name": "square"}, {"id": 7, "name": "plank"}]
    file = folder / "annotations.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return str(file), str(folder / "images")
