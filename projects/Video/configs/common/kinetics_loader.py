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

# Names of the model's outputs: "k400", "k600", "k700" or "k722", a list of names, or the path of a CSV file with the
# columns id and name.
dataloader.class_names = None

# Reads video files. For folders of extracted frames, set frame_pattern="img_{:05d}.jpg"; below, set
# has_frame_counts=True if the annotation files have the numbers of frames. decoder="auto" selects torchcodec where it
# can be loaded.
reader = L(ClipReader)(frame_pattern=None, decoder="pyav")

dataloader.train = L(build_train_loader)(
    dataset=L(VideoDataset)(
        # A file with lines of a path and a class index, or a CSV table.
        annotations=None,
        root=ROOT,
        # Gives the class index of labels that are names.
        classes="${dataloader.class_names}",
        has_frame_counts=False,
        num_classes="${model.num_classes}",
    ),
    mapper=L(TrainingMapper)(
        frame_sampler=L(TrainingFrameSampler)(num_frames="${model.num_frames}"),
        # The published models were trained with a different colour jitter in each frame of a clip.
        transform=L(TrainingTransform)(size="${model.img_size}", colour_jitter_per_frame=True),
        # "skip" logs and counts a video that cannot be read, and draws another one instead.
        on_error="stop",
        reader=reader,
    ),
    # For mixup and CutMix, set ClipMixing; see kinetics722.py.
    collate=L(VideoCollate)(mixing=None),
    aspect_ratio_grouping=False,
    # Clips per iteration, over all processes.
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
        # "random" draws the clips, as for the published numbers; "uniform" gives the same ones each time.
        frame_sampler=L(EvaluationFrameSampler)(num_frames="${model.num_frames}", num_clips=1, mode="uniform"),
        transform=L(EvaluationTransform)(size="${model.img_size}", num_crops=1),
        # "skip" logs a video that cannot be read and counts it as wrong.
        on_error="stop",
        reader=reader,
    ),
    # Views per batch.
    batch_size=2,
    num_workers=8,
)

dataloader.evaluator = L(VideoEvaluator)(
    num_clips="${dataloader.test.mapper.frame_sampler.num_clips}",
    num_crops="${dataloader.test.mapper.transform.num_crops}",
)
