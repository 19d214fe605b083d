"""Predicted and measured peak memory of training steps of every task, for models that fit a CPU."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .harness.figure import Figure, record

ROOT = Path(__file__).parents[1]
CONFIG = "projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva.py"
LIMIT = 0.15
NUM_OBJECTS = 32
# Makes malloc return freed memory to the system at once, so that the resident set is the memory in use.
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
]
for stage in range(3):
    SMALL += [
        f"model.roi_heads.box_heads.{stage}.input_shape.channels=128",
        f"model.roi_heads.box_heads.{stage}.conv_dims=[64]",
        f"model.roi_heads.box_heads.{stage}.fc_dims=[128]",
        f"model.roi_heads.box_predictors.{stage}.input_shape.channels=128",
    ]
NO_MASKS = [
    "model.roi_heads.mask_in_features=null",
    "model.roi_heads.mask_pooler=null",
    "model.roi_heads.mask_head=null",
]
DETECTORS = {
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

CPU = ["train.device=cpu", "train.amp.enabled=False"]
IN1K = "projects/Classification/configs/in1k_336.py"
SMALL_VIT = ["model.img_size=112", "model.embed_dim=256", "model.depth=6", "model.num_heads=4", "model.mlp_ratio=4.0"]
# Written for the cases that use it.
CLIP_FILE = "small_clip.pt"
OTHERS = {
    "classification": (IN1K, [*SMALL_VIT, *CPU, "dataloader.train.total_batch_size=32"]),
    "classification, not recomputed, 2 parts": (
        IN1K,
        [
            *SMALL_VIT,
            *CPU,
            "dataloader.train.total_batch_size=32",
            "train.accumulation_steps=2",
            "train.activation_checkpointing=",
            "train.ema.enabled=False",
        ],
    ),
    "linear probe": (
        "projects/Classification/configs/linear_probe_224.py",
        [*SMALL_VIT, *CPU, "dataloader.train.total_batch_size=128"],
    ),
    "masked images": (
        "projects/Classification/configs/mim_pretrain_224.py",
        [
            *SMALL_VIT,
            *CPU,
            "model.masking.grid=[8,8]",
            "model.masking.num_masked=26",
            "dataloader.train.total_batch_size=16",
            f"model.teacher.weights={CLIP_FILE}",
        ],
    ),
    "CLIP, LAMB": (
        "projects/CLIP/configs/eva_clip_g14.py",
        [*CPU, "model.name=eva_clip_tiny", "model.visual.img_size=112", "dataloader.train.total_batch_size=256"],
    ),
    "video, 2 parts": (
        "projects/Video/configs/kinetics400.py",
        [
            *SMALL_VIT,
            *CPU,
            "model.num_frames=4",
            "dataloader.train.total_batch_size=8",
            "train.accumulation_steps=2",
        ],
    ),
    "segmentation": (
        "projects/SemSeg/configs/demo/mask2former_eva_tiny_microscope.py",
        ["dataloader.train.mapper.size=[256,256]", "dataloader.train.total_batch_size=2"],
    ),
}
CASES = {name: (CONFIG, [*SMALL, *more]) for name, more in DETECTORS.items()} | OTHERS

# Run before the measured steps, so that libraries have loaded their code and started their threads.
WARM_UP = ["dataloader.train.total_batch_size=2", "train.accumulation_steps=1"]
WARM_UP_OF = {
    CONFIG: [
        f"model.backbone.{key}"
        for key in ("square_pad=64", "net.depth=1", "net.window_block_indexes=[0]", "net.embed_dim=32")
    ]
}


@dataclass(frozen=True)
class Row:
    """Bytes at the peak of a step."""

    name: str
    measured: int
    predicted: int

    @property
    def error(self) -> float:
        """Relative error of the prediction."""
        return self.predicted / self.measured - 1


def rows(only: str = "") -> Iterator[Row]:
    """Yield the rows of the cases whose names contain `only`."""
    for name in CASES:
        if only in name:
            yield from compare(name)


def compare(*names: str) -> list[Row]:
    """Predict and measure the cases of these names, in one process."""
    with tempfile.TemporaryDirectory() as folder:
        recipes = []
        for config, overrides in (CASES[name] for name in names):
            if any(CLIP_FILE in override for override in overrides):
                _write_clip(Path(folder, CLIP_FILE))
            recipes.append((config, [override.replace(CLIP_FILE, f"{folder}/{CLIP_FILE}") for override in overrides]))
        predicted = [predict(*recipe) for recipe in recipes]
        return [Row(*row) for row in zip(names, measure(recipes), predicted, strict=True)]


Recipe = tuple[str, list[str]]  # config and overrides


def predict(config: str, overrides: list[str]) -> int:
    """Return the predicted peak bytes of a recipe."""
    from eva_engine.config import load_config
    from eva_engine.memory import MemoryPlanner

    return MemoryPlanner(num_objects=NUM_OBJECTS).plan(load_config(str(ROOT / config), overrides)).peak


def measure(recipes: list[Recipe]) -> list[int]:
    """Measure the peak bytes of each recipe's training steps as growth of the resident set of a separate process."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.plan_memory", "--measure", json.dumps(recipes)]
    environment = {**os.environ, **ENVIRONMENT, "OMP_NUM_THREADS": "1"}
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment).stdout
    return json.loads(output.splitlines()[-1])


def train_steps(config: str, overrides: list[str]) -> None:
    """Run two training steps on synthetic data, as the training loop does, on the device of the recipe."""
    import torch
    from detectron2.config import instantiate
    from detectron2.utils.events import EventStorage
    from torch.utils._pytree import tree_map_only

    from eva_engine.config import load_config
    from eva_engine.memory.synthetic_batch import find_synthetic_batch
    from eva_engine.training.adaptation import adapt_model
    from eva_engine.training.micro_batches import split_batch
    from eva_engine.training.optimization import build_ema, build_optimizer
    from eva_engine.training.precision import Precision

    cfg = load_config(str(ROOT / config), overrides)
    device = torch.device(cfg.train.device)
    with device:
        model = instantiate(cfg.model)
    adapt_model(model, cfg.train)
    model.to(device)
    precision = Precision(cfg.train.amp, device.type)
    optimizer, ema = build_optimizer(cfg, model), build_ema(cfg.train.ema, model)
    parts = cfg.train.accumulation_steps
    full_batch = find_synthetic_batch(cfg, model, NUM_OBJECTS).make(cfg.dataloader.train.total_batch_size)
    batches = [tree_map_only(torch.Tensor, torch.clone, part) for part in split_batch(full_batch, parts)]
    batches = [tree_map_only(torch.Tensor, lambda x: x.to(device), part) for part in batches]
    with EventStorage():
        for _ in range(2):
            for batch in batches:
                with precision.autocast():
                    loss = sum(model(batch).values()) / parts
                loss.backward()
                del loss
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if ema is not None:
                ema.update(model)
            optimizer.zero_grad(set_to_none=True)


def _measure_here(config: str, overrides: list[str]) -> int:
    from benchmarks.harness.resident_peak import peak_growth

    train_steps(config, [*overrides, *WARM_UP, *WARM_UP_OF.get(config, ())])
    return peak_growth(lambda: train_steps(config, overrides))


def _write_clip(path: Path) -> None:
    """Write the image tower of a CLIP model with 22 million parameters, for 112 pixels."""
    import torch
    from open_clip.transformer import VisionTransformer

    tower = VisionTransformer(112, 14, width=384, layers=12, heads=6, mlp_ratio=4.0, output_dim=768)
    torch.save(tower.state_dict(), path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--only", default="", help="cases whose names contain this")
    args = parser.parse_args()
    if args.measure:
        print([_measure_here(*recipe) for recipe in json.loads(args.measure)])
        return 0
    failed = 0
    print(f"{'case':<55} {'measured':>10} {'predicted':>10}  error")
    for row in rows(args.only):
        failed += abs(row.error) > LIMIT
        amounts = row.predicted / 2**20, "measured", row.measured / 2**20
        record(Figure(row.name, "peak memory, predicted", "MiB", *amounts, relation="error"))
        sizes = f"{row.measured / 2**20:>6,.0f} MiB {row.predicted / 2**20:>6,.0f} MiB"
        print(f"{row.name:<55} {sizes}  {row.error:+.1%}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
