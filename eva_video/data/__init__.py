"""Lists of videos, decoding, sampling, transforms and batches, for the training loop of `detectron2_ext`."""

from eva_classification.data.mapper import UNREADABLE

from .collate import VideoCollate
from .decoding import Clip, read_clip
from .mapper import EvaluationMapper, TrainingMapper, VideoReading
from .mixing import ClipMixing
from .sampling import EvaluationFrames, TrainingFrames
from .transforms import IMAGENET_MEAN, IMAGENET_STD, EvaluationTransform, TrainingTransform
from .video_dataset import VideoDataset
from .view_loader import ViewLoader

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "UNREADABLE",
    "Clip",
    "ClipMixing",
    "EvaluationFrames",
    "EvaluationMapper",
    "EvaluationTransform",
    "TrainingFrames",
    "TrainingMapper",
    "TrainingTransform",
    "VideoCollate",
    "VideoDataset",
    "VideoReading",
    "ViewLoader",
    "read_clip",
]
