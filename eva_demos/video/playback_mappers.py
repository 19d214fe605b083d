"""Map playback samples to the input of the demo's model: the motion in a crop, without the still background.

With so few scenes, a model memorises the scenes sooner than it learns their motion. So the mean of a sample's frames is
subtracted from each of them, which leaves nothing where nothing moves. Crops are not resized, because the speed shows
in how far things move from frame to frame. Crops are not flipped either: a flipped pan goes the other way, so it looks
reversed.
"""

import random
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from eva_backbone.errors import InputError
from eva_video.data.collate import VideoCollate
from eva_video.data.mapper import ClipReader

from .skvideo_clips import CLASSES, PlaybackRecord, check_num_frames, max_start, play, shrink

# Difference in grey levels that is scaled to 1: about the standard deviation of the differences.
MOTION_STD = 20.0


def motion(frames: np.ndarray) -> np.ndarray:
    """Return the differences of frames [T, H, W, 3] uint8 from their mean, [3, T, H, W] float32 over `MOTION_STD`."""
    values = np.ascontiguousarray(frames.transpose(3, 0, 1, 2)).astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    return values / np.float32(MOTION_STD)


def motion_image(frames: np.ndarray) -> np.ndarray:
    """Return the motion of frames [T, H, W, 3] as images of the same shape, grey where nothing moves."""
    differences = MOTION_STD * motion(frames).transpose(1, 2, 3, 0)
    return (128 + differences).clip(0, 255).astype(np.uint8)


class PlaybackTrainingMapper:
    """Map a record to one sample with a random start in its block and a random crop, drawn with `random`.

    Args:
        size: Side of the crop, pixels.
        num_frames: Frames per sample.

    Raises:
        InputError: A sample of so many frames does not fit into a block; when called, the crop is larger than the
            frames.
    """

    def __init__(self, size: int, num_frames: int) -> None:
        self.size = size
        self.num_frames = check_num_frames(num_frames)

    def __call__(self, record: PlaybackRecord) -> dict[str, Any]:
        """Return {"video": float32 array [3, T, size, size], "label": class index, "file_name": ...}."""
        start = random.randint(0, max_start(record["label"], self.num_frames))
        frames = play(record, self.num_frames, start)
        max_y, max_x = _max_crop_position(frames, self.size)
        y, x = random.randint(0, max_y), random.randint(0, max_x)
        pixels = motion(frames[:, y : y + self.size, x : x + self.size])
        return {"video": pixels, "label": record["label"], "file_name": record["file_name"]}


class ConsecutiveFrames:
    """Choose clips of consecutive frames at evenly spaced positions of a video file.

    Args:
        num_frames: Frames per clip; of a shorter video, the last one is repeated.
        num_clips: Number of clips.
    """

    def __init__(self, num_frames: int, num_clips: int) -> None:
        self.num_frames = num_frames
        self.num_clips = num_clips

    def __call__(self, total: int) -> np.ndarray:
        """Return frame indices [num_clips * num_frames], clip after clip, for a video of `total` frames."""
        starts = np.array(_evenly_spaced(max(total - self.num_frames, 0), self.num_clips))
        return np.minimum(starts[:, None] + np.arange(self.num_frames), total - 1).ravel()


class MotionTransform:
    """Transform clips to the motion in evenly spaced crops.

    Args:
        size: Side of a crop, pixels.
        num_crops: Number of crops along the longer side; along the shorter side, crops are centred.
    """

    def __init__(self, size: int, num_crops: int) -> None:
        self.size = size
        self.num_crops = num_crops

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Resize the shorter side of a frame [H, W, 3] of a video file to that of the crops."""
        return shrink(image, self.size)

    def __call__(self, frames: np.ndarray, num_clips: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Return the views of frames [num_clips * T, H, W, 3] uint8, clip after clip.

        Returns:
            Pixels [num_clips * num_crops, 3, T, size, size] float32, and the clip and the crop of each view [V, 2].

        Raises:
            InputError: The crop is larger than the frames.
        """
        max_y, max_x = _max_crop_position(frames, self.size)
        pixels, views = [], []
        for clip, part in enumerate(np.split(frames, num_clips)):
            for crop, position in enumerate(_evenly_spaced(max(max_y, max_x), self.num_crops)):
                y, x = (position, max_x // 2) if max_y > max_x else (max_y // 2, position)
                pixels.append(motion(part[:, y : y + self.size, x : x + self.size]))
                views.append((clip, crop))
        return np.stack(pixels), np.array(views)


class PlaybackEvaluationMapper:
    """Map a record to all its views: evenly spaced starts in its block and evenly spaced crops.

    Args:
        size: Side of a crop, pixels.
        num_frames: Frames per view.
        num_clips: Number of starts.
        num_crops: Number of crops, see `MotionTransform`.

    Attributes:
        frame_sampler, reader: How `predict` reads the frames of a video file.
        transform: From frames to views.

    Raises:
        InputError: As for `PlaybackTrainingMapper`.
    """

    def __init__(self, size: int, num_frames: int, num_clips: int = 3, num_crops: int = 4) -> None:
        self.num_frames = check_num_frames(num_frames)
        self.num_clips = num_clips
        self.num_crops = num_crops
        self.frame_sampler = ConsecutiveFrames(num_frames, num_clips)
        self.transform = MotionTransform(size, num_crops)
        self.reader = ClipReader()

    @property
    def num_views(self) -> int:
        """Number of views of every sample: clips times crops."""
        return self.num_clips * self.num_crops

    def __call__(self, record: PlaybackRecord) -> dict[str, Any]:
        """Return the views of a sample.

        Returns:
            {"video": float32 array [V, 3, T, S, S], "view": clip and crop of each view [V, 2], "label", "file_name"}.
        """
        starts = _evenly_spaced(max_start(record["label"], self.num_frames), self.num_clips)
        frames = np.concatenate([play(record, self.num_frames, start) for start in starts])
        pixels, views = self.transform(frames, self.num_clips)
        return {"video": pixels, "view": views, "label": record["label"], "file_name": record["file_name"]}


class ForwardBackwardCollate:
    """Collate training batches in which every sample is played in both directions.

    Both clips of a sample show the same scene, so a model can tell them apart only by their motion.

    Attributes:
        clips_per_sample: Number of clips in the batch for each sample given; the memory planner reads it.
    """

    clips_per_sample: ClassVar[int] = 2

    def __init__(self) -> None:
        self._collate = VideoCollate()

    def __call__(self, samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return a batch of all samples, followed by all of them reversed.

        Returns:
            {"video": [2 B, 3, T, S, S], "label": [2 B], "file_name": list of B}.
        """
        batch = self._collate(samples)
        videos, labels = batch["video"], batch["label"]
        batch["video"] = torch.cat([videos, videos.flip(2)])
        # The classes of the other direction follow in the same order of speeds.
        reversed_labels = (labels + len(CLASSES) // 2) % len(CLASSES)
        batch["label"] = torch.cat([labels, reversed_labels])
        return batch


def _max_crop_position(frames: np.ndarray, size: int) -> tuple[int, int]:
    """Return the largest (y, x) of the upper left pixel of a crop that lies inside the frames."""
    height, width = frames.shape[1:3]
    if min(height, width) < size:
        raise InputError(
            f"a crop of {size} pixels does not fit into frames of {width} x {height}; give a shorter_side of {size} or "
            "more."
        )
    return height - size, width - size


def _evenly_spaced(last: int, count: int) -> list[int]:
    """Return `count` evenly spaced integers from 0 to `last`; a single one is in the middle."""
    if count == 1:
        return [last // 2]
    return [last * step // (count - 1) for step in range(count)]
