"""Predicted against measured peak memory of training steps of detectors that fit a CPU."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from .harness.figure import Figure, record

ROOT = Path(__file__).parents[1]
CONFIG = "projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva.py"
LIMIT = 0.15
# Freed blocks go back to the system at once, so that the resident set is what is alive.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}

SMALL = [
    "model.backbone.net.img_size=512",
    "model.backbone.net.embed_dim=256",
    "model.backbone.net.depth=4",
    "model.backbone.net.num_heads=4",
    "model.backbone.net.window_block_indexes=[0,1,2]",
    "model.backbone.net.use_act_checkpoint=False",
    "model.backbone.out_channels=128",
    "model.backbone.square_pad=512",
    "model.proposal_generator.head.in_channels=128",
    "model.roi_heads.batch_size_per_image=128",
    "model.roi_heads.mask_head.input_shape.channels=128",
    "model.roi_heads.mask_head.conv_dims=[64,64]",
    "dataloader.train.total_batch_size=1",
    "train.device=cpu",
    "train.amp.enabled=False",
] + [
    override
    for stage in range(3)
    for override in (
        f"model.roi_heads.box_heads.{stage}.input_shape.channels=128",
        f"model.roi_heads.box_heads.{stage}.conv_dims=[64]",
        f"model.roi_heads.box_heads.{stage}.fc_dims=[128]",
        f"model.roi_heads.box_predictors.{stage}.input_shape.channels=128",
    )
]
NO_MASKS = [
    "model.roi_heads.mask_in_features=null",
    "model.roi_heads.mask_pooler=null",
    "model.roi_heads.mask_head=null",
]
CASES = {
    "512 px": [],
    "512 px, 2 images": ["dataloader.train.total_batch_size=2"],
    "512 px, blocks recomputed": ["train.activation_checkpointing=torch", "model.backbone.net.depth=8"],
    "512 px, backbone frozen": ['train.freeze=["backbone.net.*"]'],
    "512 px, without masks": NO_MASKS,
    "768 px": ["model.backbone.square_pad=768"],
    "768 px, without masks, 2 images in 2 parts": [
        *NO_MASKS,
        "model.backbone.square_pad=768",
        "dataloader.train.total_batch_size=2",
        "train.accumulation_steps=2",
    ],
    "384 px, wide": ["model.backbone.square_pad=384", "model.backbone.net.embed_dim=768"],
}
NUM_OBJECTS = 32


def predict(overrides: list[str]) -> int:
    """Predicted peak bytes for the small detector with `overrides`."""
    from detectron2_ext.engine.memory.prediction import Predictor
    from detectron2_ext.engine.recipe import load_config

    cfg = load_config(str(ROOT / CONFIG), [*SMALL, *overrides])
    return Predictor(num_objects=NUM_OBJECTS).predict(cfg).peak


def measure(overrides: list[str]) -> int:
    """Peak bytes of the small detector's training steps: growth of the resident set of a fresh process."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.plan_memory", "--measure", json.dumps(overrides)]
    environment = {**os.environ, **ENVIRONMENT, "OMP_NUM_THREADS": "1"}
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment).stdout
    return int(output.splitlines()[-1])


def train_steps(overrides: list[str]) -> None:
    """Three plain steps, as the training loop takes them."""
    import torch
    from detectron2.config import instantiate
    from detectron2.utils.events import EventStorage

    from detectron2_ext.engine import build_optimizer
    from detectron2_ext.engine.adaptation import adapt_model
    from detectron2_ext.engine.memory.made_batch import made_batch
    from detectron2_ext.engine.recipe import load_config

    cfg = load_config(str(ROOT / CONFIG), overrides)
    model = instantiate(cfg.model)
    adapt_model(model, cfg.train)
    optimizer = build_optimizer(cfg, model)
    parts = cfg.train.accumulation_steps
    images = cfg.dataloader.train.total_batch_size // parts
    masks = "polygon" if cfg.model.roi_heads.get("mask_head") is not None else None
    batch = made_batch(images, cfg.model.backbone.square_pad, NUM_OBJECTS, 80, masks)
    with EventStorage():
        for _ in range(3):
            for _ in range(parts):
                loss = sum(model(batch).values()) / parts
                loss.backward()
                del loss
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)


def _measure_here(overrides: list[str]) -> int:
    from benchmarks.harness.side_by_side import measure_once

    tiny = ["model.backbone.square_pad=64", "model.backbone.net.depth=1", "model.backbone.net.embed_dim=32"]
    train_steps([*SMALL, *tiny])  # libraries load their code and their threads
    return measure_once(lambda: train_steps([*SMALL, *overrides]))[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--only", help="cases whose names contain this")
    args = parser.parse_args()
    if args.measure:
        print(_measure_here(json.loads(args.measure)))
        return 0
    failed = 0
    print(f"{'case':<45} {'measured':>10} {'predicted':>10}  error")
    for name, overrides in CASES.items():
        if args.only and args.only not in name:
            continue
        predicted, measured = predict(overrides), measure(overrides)
        error = predicted / measured - 1
        failed += abs(error) > LIMIT
        amounts = predicted / 2**20, "measured", measured / 2**20
        record(Figure(name, "peak memory, predicted", "MiB", *amounts, relation="error"))
        print(f"{name:<45} {measured / 2**20:>6,.0f} MiB {predicted / 2**20:>6,.0f} MiB  {error:+.1%}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
