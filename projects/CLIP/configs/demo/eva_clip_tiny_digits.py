"""Demo: a tiny EVA-CLIP learns handwritten digits from captions; evaluated by zero-shot classification."""

from detectron2.config import LazyCall as L
from torch.optim import AdamW
from torchvision import transforms as T

from eva_classification.data import EvaluationMapper
from eva_classification.transforms import evaluation_transform
from eva_clip import get_tokenizer
from eva_clip.data.eval_loaders import build_zero_shot_loader
from eva_clip.evaluation.zero_shot_evaluator import ZeroShotEvaluator
from eva_clip.initialization import build_model_from_scratch
from eva_demos.classification.mnist_digits import MEAN, STD, heldout_digits
from eva_demos.clip.captioned_digits import TRAINING_PHRASINGS, WORDS, captioned_digits
from eva_engine.training.optimization import WarmupCosine

from ..common.optim import optimizer
from ..common.pair_loader import dataloader
from ..common.train import train

# Images of 32 x 32 pixels in 16 patches; captions of up to 14 tokens in addition to the start and end tokens.
model = L(build_model_from_scratch)(
    name="eva_clip_tiny",
    output_dim=64,
    visual={"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 4, "num_heads": 2, "mlp_ratio": 4.0},
    text={"context_length": 16, "width": 64, "num_heads": 2, "num_layers": 2},
    max_logit_scale=100.0,
)

tokenizer = L(get_tokenizer)(name="${model.name}", context_length="${model.text.context_length}")
# folder: where images and captions are written; null: in the root folder of the datasets.
dataloader.train.dataset = L(captioned_digits)(folder=None)
dataloader.train.mapper.update(
    tokenizer=tokenizer,
    # Random shifts by up to a pixel; no flips, because mirrored digits are different symbols.
    transform=L(T.Compose)(
        transforms=[
            L(T.RandomCrop)(size="${model.visual.img_size}", padding=1),
            L(T.Grayscale)(num_output_channels=3),
            L(T.ToTensor)(),
            L(T.Normalize)(mean=[MEAN] * 3, std=[STD] * 3),
        ]
    ),
    on_error="stop",
)
dataloader.train.update(total_batch_size=64, num_workers=1, prefetch_factor=128)
dataloader.test = L(build_zero_shot_loader)(
    dataset=L(heldout_digits)(folder=None),
    mapper=L(EvaluationMapper)(
        transform=L(evaluation_transform)(
            size="${model.visual.img_size}", crop_pct=1.0, mean=[MEAN] * 3, std=[STD] * 3
        ),
    ),
    class_names=list(WORDS),
    templates=list(TRAINING_PHRASINGS),
    tokenizer=tokenizer,
    batch_size=100,
)
dataloader.evaluator = L(ZeroShotEvaluator)()

train.device = "cpu"
train.amp.enabled = False
train.seed = 1
train.clip_grad_norm = 3.0
train.max_iter = 1000
train.eval_period = 0
optimizer._target_ = AdamW
optimizer.pop("max_grad_norm")
optimizer.update(lr=1e-3, betas=(0.9, 0.98), eps=1e-8, fused=True)
optimizer.params.update(visual_lr="${..lr}", text_lr="${..lr}", logit_scale_lr="${..lr}")
optimizer.params.update(visual_decay_rate=1.0, text_decay_rate=1.0)
lr_multiplier = L(WarmupCosine)(max_iter="${train.max_iter}", warmup_iters=30, end=0.01)
