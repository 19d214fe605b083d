"""Demo recipes, and published ones with small models."""

from benchmarks.plan_memory import ROOT
from eva_engine.config import load_config

TASKS = {
    "classification": ("Classification/configs/demo/mnist_finetune.py", []),
    "masked images": ("Classification/configs/demo/mnist_mim.py", []),
    "clip": ("CLIP/configs/demo/eva_clip_tiny_digits.py", []),
    "video": ("Video/configs/demo/playback.py", []),
    "segmentation": ("SemSeg/configs/demo/mask2former_eva_tiny_microscope.py", []),
}
_VIT = ["model.embed_dim=64", "model.depth=2", "model.num_heads=2"]
_SEGMENTER = [f"model.backbone.{part}" for part in ("embed_dim=64", "depth=4", "num_heads=2")] + [
    f"model.decode_head.{part}" for part in ("dim=64", "hidden=64", "num_heads=2", "encoder_layers=1")
]
_UPERNET = [
    f"model.backbone.{part}" for part in ("embed_dim=64", "depth=4", "num_heads=2", "out_indices=[0,1,2,3]")
] + [*("model.decode_head.channels=32", "model.auxiliary_head.channels=16")]
_TOWERS = [f"model.visual.{part}" for part in ("embed_dim=64", "depth=2", "num_heads=2")] + [
    f"model.text.{part}" for part in ("width=64", "num_layers=1", "num_heads=2")
]
# Recipes of other sizes and classes alone are left out.
PUBLISHED = {
    "Classification/configs/in1k_336.py": _VIT,
    "Classification/configs/in21k_224.py": _VIT,
    "Classification/configs/linear_probe_224.py": _VIT,
    "Classification/configs/mim_pretrain_224.py": _VIT,
    "CLIP/configs/eva_clip_g14.py": ["model.name=eva_clip_tiny"],
    "CLIP/configs/eva_clip_g14_captions.py": ["model.name=eva_clip_tiny"],
    "CLIP/configs/eva02_clip_e14.py": [*_TOWERS, "train.parallel=ddp"],
    "CLIP/configs/eva02_clip_l14.py": _TOWERS,
    "CLIP/configs/in1k_224_finetune.py": _VIT,
    "Video/configs/kinetics400.py": _VIT,
    "Video/configs/kinetics722.py": _VIT,
    "SemSeg/configs/ade20k_9dec_ss.py": _SEGMENTER,
    "SemSeg/configs/coco_stuff164k.py": _SEGMENTER,
    "SemSeg/configs/eva02/upernet/upernet_eva02_base_12_512_slide_60k.py": _UPERNET,
}


def task_recipe(path, *overrides):
    return load_config(str(ROOT / "projects" / path), list(overrides))


def small_task(task, *more):
    path, overrides = TASKS[task]
    return task_recipe(path, *overrides, *more)
