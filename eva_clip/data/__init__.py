"""Pairs of images and texts from caption files and tar shards, and images with sentences for evaluations."""

from .caption_dataset import CaptionDataset, PairRecord
from .collate import PairCollate
from .mapper import PairMapper
from .shard_dataset import ShardDataset

__all__ = ["CaptionDataset", "PairCollate", "PairMapper", "PairRecord", "ShardDataset"]
