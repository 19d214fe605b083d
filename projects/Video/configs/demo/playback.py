"""Demo: a tiny EVA learns to recognise how a video is played: forward or reversed, at 1x, 2x or 4x speed."""

from detectron2.config import LazyCall as L
from omegaconf import OmegaConf

from eva_demos.video.playback_mappers import ForwardBackwardCollate, PlaybackEvaluationMapper, PlaybackTrainingMapper
from eva_demos.video.skvideo_clips import CLASSES, PlaybackDataset
from eva_engine.data import build_train_loader
from eva_engine.training.optimization import WarmupCosine
from eva_video import VideoClassifier
from eva_video.data import ViewLoader
from eva_video.evaluation import VideoEvaluator

from ..common.optim import optimizer
from ..common.train import train

# 2 x 4 x 4 tubelets and the class token.
model = L(VideoClassifier)(
    img_size=64,
    patch_size=16,
    num_frames=4,
    tubelet_size=2,
    embed_dim=96,
    depth=3,
    num_heads=3,
    mlp_ratio=4.0,
    num_classes=len(CLASSES),
)

dataloader = OmegaConf.create(flags={"allow_objects": True})
dataloader.class_names = list(CLASSES)
dataloader.train = L(build_train_loader)(
    dataset=L(PlaybackDataset)(heldout=False, shorter_side="${model.img_size}"),
    mapper=L(PlaybackTrainingMapper)(size="${model.img_size}", num_frames="${model.num_frames}"),
    collate=L(ForwardBackwardCollate)(),
    aspect_ratio_grouping=False,
    # Number of samples; the collate adds each of them reversed, so that the model gets twice as many clips.
    total_batch_size=16,
    num_workers=0,
)
dataloader.test = L(ViewLoader)(
    dataset=L(PlaybackDataset)(heldout=True, shorter_side="${model.img_size}"),
    mapper=L(PlaybackEvaluationMapper)(
        size="${model.img_size}", num_frames="${model.num_frames}", num_clips=3, num_crops=4
    ),
    batch_size=48,
)
dataloader.evaluator = L(VideoEvaluator)(
    num_clips="${dataloader.test.mapper.num_clips}", num_crops="${dataloader.test.mapper.num_crops}"
)

train.device = "cpu"
train.amp.enabled = False
train.activation_checkpointing = ""
train.seed = 1
train.clip_grad_norm = 3.0
train.max_iter = 1500
train.eval_period = 0
optimizer.update(lr=1e-3, fused=True)
lr_multiplier = L(WarmupCosine)(max_iter="${train.max_iter}", warmup_iters=50, end=0.01)
