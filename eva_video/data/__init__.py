"""Data of video classification: annotation files, frame sampling, decoding, transforms, collation and loading."""

from eva_classification.data.mapper import UNREADABLE

from .collate import VideoCollate
from .decoding import DecodedClip, read_clip
from .mapper import ClipReader, EvaluationMapper, TrainingMapper
from .mixing import ClipMixing
from .sampling import EvaluationFrameSampler, TrainingFrameSampler
from .transforms import IMAGENET_MEAN, IMAGENET_STD, EvaluationTransform, TrainingTransform
from .video_dataset import VideoDataset
from .view_loader import ViewLoader

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "UNREADABLE",
    "ClipMixing",
    "ClipReader",
    "DecodedClip",
    "EvaluationFrameSampler",
    "EvaluationMapper",
    "EvaluationTransform",
    "TrainingFrameSampler",
    "TrainingMapper",
    "TrainingTransform",
    "VideoCollate",
    "VideoDataset",
    "ViewLoader",
    "read_clip",
]
