"""Sample the frames of a clip: one from each of T equal segments of the video."""

from dataclasses import dataclass

import numpy as np

from eva_backbone.errors import InputError


def uniform_frame_indices(total: int, num_frames: int, offset: float = 0.5) -> np.ndarray:
    """Return the index of the frame at the same relative position in each segment, [num_frames] int64.

    Args:
        total: Number of frames of the video.
        num_frames: Number of segments.
        offset: Position within each segment, from 0 (its start; 0.5 is its middle) to less than 1.
    """
    segment = total / num_frames
    return (np.arange(num_frames) * segment + segment * offset).astype(np.int64)


def random_frame_indices(total: int, num_frames: int) -> np.ndarray:
    """Draw one frame from each of `num_frames` segments, [num_frames] int64, with `numpy.random`.

    As in the published code, segments have total // num_frames frames, so that the last frames of the video may never
    be drawn. In a video with fewer frames than segments, frames are repeated about equally often; rounding up beyond
    the last frame wraps around to the first.
    """
    length = total // num_frames
    if length:
        return np.arange(num_frames) * length + np.random.randint(length, size=num_frames)
    return np.around(np.arange(num_frames) * total / num_frames).astype(np.int64) % total


@dataclass(frozen=True)
class TrainingFrameSampler:
    """Draw clips at random, new ones at each call.

    Args:
        num_frames: Frames per clip, T.
        num_clips: Number of clips.
    """

    num_frames: int
    num_clips: int = 1

    def __call__(self, total: int) -> np.ndarray:
        """Return frame indices [num_clips * num_frames], clip after clip, for a video of `total` frames."""
        return np.concatenate([random_frame_indices(total, self.num_frames) for _ in range(self.num_clips)])


@dataclass(frozen=True)
class EvaluationFrameSampler:
    """Choose the clips of an evaluation.

    Args:
        num_frames: Frames per clip, T.
        num_clips: Number of clips. A single clip takes the middle frame of each segment.
        mode: How several clips differ. "uniform" takes frames at equal distances within each segment, the same ones
            each time. "random" draws them as in training, as for the published numbers.

    Raises:
        InputError: The mode is unknown.
    """

    num_frames: int
    num_clips: int = 1
    mode: str = "uniform"

    def __post_init__(self) -> None:
        if self.mode not in ("uniform", "random"):
            raise InputError(f'the mode of the clips is {self.mode!r}, expected "uniform" or "random".')

    def __call__(self, total: int) -> np.ndarray:
        """Return frame indices [num_clips * num_frames], clip after clip, for a video of `total` frames."""
        if self.mode == "random" and self.num_clips > 1:
            return TrainingFrameSampler(self.num_frames, self.num_clips)(total)
        offsets = [(clip + 0.5) / self.num_clips for clip in range(self.num_clips)]
        return np.concatenate([uniform_frame_indices(total, self.num_frames, offset) for offset in offsets])
