from detectron2.config import LazyCall as L

from eva_clip import build_model

model = L(build_model)(
    name="eva_clip_g14",
    # drop_path_rate: stochastic depth of the image tower, increasing linearly from 0 in the first block to this value.
    visual={"img_size": 224, "drop_path_rate": 0.4},
    # quick_gelu: the released model has the exact GELU. checkpoint_blocks: activation checkpointing of the text tower.
    text={"context_length": 77, "quick_gelu": False, "checkpoint_blocks": False},
    # null: no limit, as in the original release. OpenAI's CLIP limits the logit scale to 100.
    max_logit_scale=None,
)
