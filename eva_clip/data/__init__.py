"""Pairs of images and texts from caption files and tar shards, and images with sentences for evaluations."""

from .caption_dataset import CaptionRecords, PairRecord
from .collate import PairBatches
from .mapper import PairMapper
from .shard_dataset import ShardRecords

__all__ = ["CaptionRecords", "PairBatches", "PairMapper", "PairRecord", "ShardRecords"]
