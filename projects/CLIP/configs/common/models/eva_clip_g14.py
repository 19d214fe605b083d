from detectron2.config import LazyCall as L

from eva_clip import build_model

model = L(build_model)(
    name="eva_clip_g14",
    # Stochastic depth of the last block of the image tower; it grows linearly from 0 at the first.
    visual={"img_size": 224, "drop_path_rate": 0.4},
    # The published model has the exact GELU. checkpoint_blocks: keep only the blocks' inputs for the backward pass.
    text={"context_length": 77, "quick_gelu": False, "checkpoint_blocks": False},
    # null: no limit, as in the published code. CLIP's own training limits the scale of the logits to 100.
    max_logit_scale=None,
)
