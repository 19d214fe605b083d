"""Made data of known statistics, and the recipe that fits itself to it."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detectron2_ext.custom_data import CustomData, use_custom_data
from detectron2_ext.fitting import fit_to_data
from eva_engine.config import load_config

TINY = "projects/ViTDet/configs/custom/tiny_cpu.py"


@pytest.fixture
def write_data(tmp_path):
    """Write images and their COCO file, and return them as custom data."""

    def write(size, boxes_of_images, colours=((0, 100, 200), (100, 100, 100))) -> CustomData:
        width, height = size
        content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "nut"}]}
        for image_id, boxes in enumerate(boxes_of_images, start=1):
            pixels = np.empty((height, width, 3), dtype=np.uint8)
            pixels[:] = colours[image_id % len(colours)]
            Image.fromarray(pixels).save(tmp_path / f"{image_id}.png")
            content["images"].append({"id": image_id, "file_name": f"{image_id}.png", "width": width, "height": height})
            for box in boxes:
                number = len(content["annotations"]) + 1
                content["annotations"].append(
                    {"id": number, "image_id": image_id, "category_id": 1, "bbox": [0, 0, *box], "iscrowd": 0}
                    | {"area": box[0] * box[1]}
                )
        file = Path(tmp_path, "train.json")
        file.write_text(json.dumps(content))
        return CustomData(str(file), str(tmp_path), str(file), str(tmp_path))

    return write


@pytest.fixture
def fitted():
    """Load a recipe, use custom data and fit it; overrides are what the user gives."""

    def fit(data, *overrides, recipe=TINY):
        cfg = load_config(recipe, overrides)
        use_custom_data(cfg, data, training=True)
        fit_to_data(cfg, [text.partition("=")[0] for text in overrides])
        return cfg

    return fit
