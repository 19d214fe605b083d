"""Pairs of images and texts from caption files and tar shards, and images with sentences for evaluations."""

from .batches import PairBatches
from .caption_records import CaptionRecords, PairRecord
from .mapper import PairMapper
from .shard_records import ShardRecords

__all__ = ["CaptionRecords", "PairBatches", "PairMapper", "PairRecord", "ShardRecords"]
