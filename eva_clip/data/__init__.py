"""Image-text pairs from caption files and tar shards, and images with texts for evaluations."""

from .caption_dataset import CaptionDataset, CaptionRecord
from .collate import PairCollate
from .mapper import TrainingMapper
from .shard_dataset import ShardDataset

__all__ = ["CaptionDataset", "CaptionRecord", "PairCollate", "ShardDataset", "TrainingMapper"]
