from detectron2.config import LazyCall as L

from eva_clip import build_model

model = L(build_model)(
    # See eva_clip/models.py.
    name="eva02_clip_b16",
    # patch_dropout: fraction of the patches that are dropped in training. drop_path_rate: stochastic depth of the image
    # tower, increasing linearly from 0 in the first block to this value.
    visual={"img_size": 224, "patch_dropout": 0.0, "drop_path_rate": 0.0},
    # quick_gelu: the released models have the exact GELU. checkpoint_blocks: activation checkpointing of the text
    # tower.
    text={"context_length": 77, "quick_gelu": False, "checkpoint_blocks": True},
    # The release clamps the logit scale to 1 to 100 after each update.
    max_logit_scale=100.0,
)
