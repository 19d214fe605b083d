"""Recipe: a detector trained on a dataset in COCO format that the recipe registers."""

import os

from detectron2_ext.data import register_coco_json

from ...projects.ViTDet.configs.COCO.mask_rcnn_vitdet_b_100ep import dataloader, lr_multiplier, model, optimizer, train

FOLDER = os.environ["CELLS"]
summary = register_coco_json("cells_train", f"{FOLDER}/annotations.json", f"{FOLDER}/images")
dataloader.train.dataset.names = "cells_train"
model.roi_heads.num_classes = len(summary.class_names)
