"""Detect objects with random weights, and write data for a run: the extra `detection` and Detectron2 only."""

import json

import numpy as np
import torch
from PIL import Image

import eva_vision
from eva_engine.config import load_config
from eva_engine.config.instantiation import instantiate

RECIPE = "projects/ViTDet/configs/demo/cascade_mask_rcnn_vitdet_eva_tiny_hela.py"

noise = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
Image.fromarray(noise).resize((160, 120)).save("photo.png")
torch.save({"model": instantiate(load_config(RECIPE).model).state_dict()}, "weights.pth")
(result,) = eva_vision.load("weights.pth", config_file=RECIPE, device="cpu").predict("photo.png", max_detections=3)
assert result.masks.shape[1:] == (120, 160), result.masks.shape

box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 30, 40, 50], "area": 2000, "iscrowd": 0}
polygon = [[20, 30, 60, 30, 60, 80, 20, 80]]
data = {
    "images": [{"id": 1, "file_name": "photo.png", "width": 160, "height": 120}],
    "annotations": [{**box, "segmentation": polygon}],
    "categories": [{"id": 1, "name": "thing"}],
}
with open("data.json", "w", encoding="utf-8") as file:
    json.dump(data, file)
