"""Fine-tuning of the released EVA-CLIP g/14 on image-text pairs of a caption file. All settings are ours."""

from detectron2.config import LazyCall as L
from torch.optim import AdamW

from eva_clip.data import CaptionDataset

from .eva_clip_g14 import dataloader, lr_multiplier, model, optimizer, train

published = {"init": ["eva_clip_psz14.pt"]}

dataloader.train.dataset = L(CaptionDataset)(
    # .csv or .tsv with a header, .jsonl, .json with a list of objects or with COCO's captions.
    file="captions.csv",
    # Folder that image names are relative to; null: the folder of the file.
    root=None,
    image_key="image",
    caption_key="caption",
    on_error="stop",
)
# Pairs for train.validation_loss, in the same form.
dataloader.validation = L(CaptionDataset)(
    file="validation.csv", root=None, image_key="image", caption_key="caption", on_error="stop"
)
dataloader.train.mapper.on_error = "stop"
dataloader.train.total_batch_size = 256
train.max_iter = 2000
train.eval_period = 0
train.checkpointer.period = 500
lr_multiplier.warmup_iters = 200

optimizer._target_ = AdamW
optimizer.pop("max_grad_norm")
optimizer.params.update(visual_lr=1e-5, text_lr=1e-5, logit_scale_lr=1e-5)
