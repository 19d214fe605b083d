"""The demo's recipes with even smaller models and folders of a few synthetic images."""

from pathlib import Path

import numpy as np
from detectron2.config import LazyCall as L
from omegaconf import DictConfig
from PIL import Image

from eva_engine.config import load_config
from eva_semseg.data import SegmentationDataset

CONFIGS = Path(__file__).parents[2] / "projects/SemSeg/configs"
CLASSES = ["dark", "bright"]
DEMOS = {"mask2former": "mask2former_eva_tiny_microscope", "upernet": "upernet_eva02_tiny_microscope"}


def write_halves(root: Path, count: int = 4) -> dict[str, str]:
    """Write images of 70 x 90 pixels, dark above some row and bright below it, with their labels."""
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        labels = (np.arange(70) > 20 + 10 * index).astype(np.uint8)[:, None].repeat(90, 1)
        Image.fromarray(np.stack([labels * 160 + 40] * 3, axis=2)).save(root / f"images/{index}.png")
        Image.fromarray(labels).save(root / f"labels/{index}.png")
    return {"image_root": str(root / "images"), "label_root": str(root / "labels")}


def tiny_recipe(root: Path, iterations: int = 2, head: str = "mask2former") -> DictConfig:
    cfg = load_config(str(CONFIGS / f"demo/{DEMOS[head]}.py"))
    folders = write_halves(root)
    for loader in (cfg.dataloader.train, cfg.dataloader.test):
        loader.dataset = L(SegmentationDataset)(
            names=None, **folders, class_names=CLASSES, num_classes="${model.decode_head.num_classes}"
        )
    cfg.model.backbone.update(img_size=64, embed_dim=32, num_heads=2)
    cfg.model.decode_head.num_classes = 2
    if head == "mask2former":
        cfg.model.decode_head.update(num_queries=4, dim=32, decoder_layers=1, encoder_layers=1)
        cfg.model.criterion.num_points = 64
    else:
        cfg.model.decode_head.channels = 16
        cfg.model.auxiliary_head.channels = 8
    cfg.model.inference.windows.update(size=[64, 64], stride=[48, 48])
    cfg.dataloader.train.mapper.size = [64, 64]
    cfg.dataloader.train.mapper.augmentations = cfg.dataloader.train.mapper.augmentations[2:]
    cfg.dataloader.train.mapper.augmentations[0].size = [64, 64]
    cfg.dataloader.train.total_batch_size = 2
    cfg.dataloader.test.mapper.views.update(long_side=90, short_side=90)
    cfg.train.max_iter = iterations
    cfg.lr_multiplier.warmup_iters = 0
    cfg.train.output_dir = str(root / "out")
    return cfg
