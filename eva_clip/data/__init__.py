"""Pairs of images and texts from caption files and tar shards, for the training loop of `detectron2_ext`."""

from .batches import PairBatches
from .caption_records import CaptionRecords, PairRecord
from .mapper import PairMapper
from .shard_records import ShardRecords

__all__ = ["CaptionRecords", "PairBatches", "PairMapper", "PairRecord", "ShardRecords"]
