"""Samples of the playback clips as the demo's model gets them: what moves in a crop, without what stands still.

Few scenes are learnt by heart sooner than their motion. So the mean of a sample's frames is taken off each of them,
which leaves nothing where nothing moves. Crops are not resized: how far things move between two frames is what tells
the speed. They are not mirrored either: a mirrored pan goes the other way, and so seems to be reversed.
"""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from eva_backbone.errors import InputError
from eva_video.data.collate import VideoCollate

from .skvideo_clips import CLASSES, PlaybackRecord, check_num_frames, free_frames, play

# Grey levels that become 1: about the standard deviation of what is left.
MOTION_STD = 20.0


def motion(frames: np.ndarray) -> np.ndarray:
    """[T, H, W, 3] uint8 to their differences from their mean, [3, T, H, W] float32 in units of `MOTION_STD`."""
    values = np.ascontiguousarray(frames.transpose(3, 0, 1, 2)).astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    return values / np.float32(MOTION_STD)


def motion_picture(frames: np.ndarray) -> np.ndarray:
    """What `motion` leaves of frames [T, H, W, 3], as pictures of the same form: grey where nothing moves."""
    return (128 + MOTION_STD * motion(frames).transpose(1, 2, 3, 0)).clip(0, 255).astype(np.uint8)


class PlaybackTrainingMapper:
    """One sample, begun anywhere in its block and cropped anywhere; random numbers come from `random`.

    Args:
        size: side of the crop, pixels.
        num_frames: of a sample.

    Raises:
        InputError: more frames than fit into a block; from a call, a crop larger than the frames.
    """

    def __init__(self, size: int, num_frames: int) -> None:
        self.size = size
        self.num_frames = check_num_frames(num_frames)

    def __call__(self, record: PlaybackRecord) -> dict[str, Any]:
        """{"video": float32 array [3, T, size, size], "label": class number, "file_name": ...}."""
        frames = play(record, self.num_frames, random.randint(0, free_frames(record["label"], self.num_frames)))
        y, x = (random.randint(0, room) for room in _room(frames, self.size))
        pixels = motion(frames[:, y : y + self.size, x : x + self.size])
        return {"video": pixels, "label": record["label"], "file_name": record["file_name"]}


class PlaybackEvaluationMapper:
    """All views of a sample: evenly spread beginnings in its block and crops along its frames.

    Args:
        size: side of a crop, pixels.
        num_frames: of a view.
        num_clips: beginnings.
        num_crops: places along the longer side; along the shorter one the crop is in the middle.

    Raises:
        InputError: as `PlaybackTrainingMapper`.
    """

    def __init__(self, size: int, num_frames: int, num_clips: int = 3, num_crops: int = 4) -> None:
        self.size = size
        self.num_frames = check_num_frames(num_frames)
        self.num_clips = num_clips
        self.num_crops = num_crops

    @property
    def num_views(self) -> int:
        """Of every sample."""
        return self.num_clips * self.num_crops

    def __call__(self, record: PlaybackRecord) -> dict[str, Any]:
        """{"video": float32 array [V, 3, T, S, S], "view": clip and crop of each [V, 2], "label", "file_name"}."""
        pixels, views = [], []
        for clip, start in enumerate(_spread(free_frames(record["label"], self.num_frames), self.num_clips)):
            frames = play(record, self.num_frames, start)
            height, width = _room(frames, self.size)
            tall = height > width
            for crop, place in enumerate(_spread(max(height, width), self.num_crops)):
                y, x = (place, width // 2) if tall else (height // 2, place)
                pixels.append(motion(frames[:, y : y + self.size, x : x + self.size]))
                views.append((clip, crop))
        named = {"label": record["label"], "file_name": record["file_name"]}
        return {"video": np.stack(pixels), "view": np.array(views), **named}


class BothWays:
    """Training batches in which every sample comes in both directions.

    The two show the same scene, so that none of their difference is in what is seen, and all of it in the motion.
    """

    def __init__(self) -> None:
        self._stack = VideoCollate()

    def __call__(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """{"video": [2 B, 3, T, S, S], "label": [2 B], "file_name": list of B}: the samples, then all reversed."""
        batch = self._stack(samples)
        videos, labels = batch["video"], batch["label"]
        batch["video"] = torch.cat([videos, videos.flip(2)])
        batch["label"] = torch.cat([labels, (labels + len(CLASSES) // 2) % len(CLASSES)])
        return batch


def _room(frames: np.ndarray, size: int) -> tuple[int, int]:
    height, width = frames.shape[1:3]
    if min(height, width) < size:
        raise InputError(
            f"a crop of {size} pixels does not fit into frames of {width} x {height}; give a shorter_side of {size} or "
            "more."
        )
    return height - size, width - size


def _spread(last: int, count: int) -> list[int]:
    """`count` whole numbers from 0 to `last`, evenly; the middle one of a single."""
    return [last * place // (count - 1) for place in range(count)] if count > 1 else [last // 2]
