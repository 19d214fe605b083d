from detectron2.config import LazyCall as L
from omegaconf import OmegaConf

from eva_engine.data import build_train_loader, dataset_root
from eva_video.data import (
    ClipReader,
    EvaluationFrameSampler,
    EvaluationMapper,
    EvaluationTransform,
    TrainingFrameSampler,
    TrainingMapper,
    TrainingTransform,
    VideoCollate,
    VideoDataset,
    ViewLoader,
)
from eva_video.evaluation import VideoEvaluator

ROOT = f"{dataset_root()}/kinetics"

dataloader = OmegaConf.create(flags={"allow_objects": True})

# Names of the model's outputs: "k400", "k600", "k700" or "k722", a list of names, or a CSV file with the columns id and
# name.
dataloader.class_names = None

# Video files. For folders of frames: frame_pattern="img_{:05d}.jpg", and has_frame_counts=True below if the lists have
# their numbers. decoder="auto" takes torchcodec where it can be loaded.
reading = L(ClipReader)(frame_pattern=None, decoder="pyav")

dataloader.train = L(build_train_loader)(
    dataset=L(VideoDataset)(
        # Lines of a path and a class number, or a CSV table.
        annotations=None,
        root=ROOT,
        # Numbers of labels that are names.
        classes="${dataloader.class_names}",
        has_frame_counts=False,
        num_classes="${model.num_classes}",
    ),
    mapper=L(TrainingMapper)(
        frames=L(TrainingFrameSampler)(num_frames="${model.num_frames}"),
        # The published models were trained with another change of colours in each frame of a clip.
        transform=L(TrainingTransform)(size="${model.img_size}", colour_jitter_per_frame=True),
        # "skip" draws another video in place of one that cannot be read, and counts and names it.
        on_error="stop",
        reading=reading,
    ),
    # Mixup and CutMix of clips go here.
    collate=L(VideoCollate)(mixing=None),
    aspect_ratio_grouping=False,
    # Clips per iteration over all processes.
    total_batch_size=256,
    num_workers=16,
)

dataloader.test = L(ViewLoader)(
    dataset=L(VideoDataset)(
        annotations=None,
        root=ROOT,
        classes="${dataloader.class_names}",
        has_frame_counts=False,
        num_classes="${model.num_classes}",
    ),
    mapper=L(EvaluationMapper)(
        # "random" draws the clips, as the published numbers were measured; "spread" gives the same ones each time.
        frames=L(EvaluationFrameSampler)(num_frames="${model.num_frames}", num_clips=1, mode="spread"),
        transform=L(EvaluationTransform)(size="${model.img_size}", num_crops=1),
        # "skip" counts a video that cannot be read as wrong.
        on_error="stop",
        reading=reading,
    ),
    # Views per batch.
    batch_size=2,
    num_workers=8,
)

dataloader.evaluator = L(VideoEvaluator)(
    num_clips="${dataloader.test.mapper.frames.num_clips}",
    num_crops="${dataloader.test.mapper.transform.num_crops}",
)
