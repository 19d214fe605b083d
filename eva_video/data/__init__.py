"""Lists of videos, decoding, sampling, transforms and batches, for the training loop of `detectron2_ext`."""

from eva_classification.data.mapper import UNREADABLE

from .batches import VideoBatches
from .decoding import Clip, read_clip
from .mapper import EvaluationMapper, TrainingMapper, VideoReading
from .mixing import ClipMixing
from .sampling import EvaluationFrames, TrainingFrames
from .test_loader import TestLoader
from .transforms import IMAGENET_MEAN, IMAGENET_STD, EvaluationTransform, TrainingTransform
from .video_records import VideoRecords

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "UNREADABLE",
    "Clip",
    "ClipMixing",
    "EvaluationFrames",
    "EvaluationMapper",
    "EvaluationTransform",
    "TestLoader",
    "TrainingFrames",
    "TrainingMapper",
    "TrainingTransform",
    "VideoBatches",
    "VideoReading",
    "VideoRecords",
    "read_clip",
]
