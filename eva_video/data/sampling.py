"""Which frames of a video make up a clip: one of each of T equal segments."""

from dataclasses import dataclass

import numpy as np

from eva_backbone.errors import InputError


def placed_frames(total: int, num_frames: int, place: float = 0.5) -> np.ndarray:
    """The frame at one place in each of `num_frames` segments of a video of `total` frames, [num_frames] int64.

    Args:
        place: 0 is the beginning of a segment, 0.5 its middle; below 1.
    """
    segment = total / num_frames
    return (np.arange(num_frames) * segment + segment * place).astype(np.int64)


def random_frames(total: int, num_frames: int) -> np.ndarray:
    """A frame drawn from each of `num_frames` segments, [num_frames] int64; random numbers from `numpy.random`.

    As published, segments are of total // num_frames frames, so that frames at the end may never be drawn. A video of
    fewer frames than segments gives each of them about as often; rounding up behind the last wraps to the first.
    """
    length = total // num_frames
    if length:
        return np.arange(num_frames) * length + np.random.randint(length, size=num_frames)
    return np.around(np.arange(num_frames) * total / num_frames).astype(np.int64) % total


@dataclass(frozen=True)
class TrainingFrames:
    """One clip of `num_frames` frames, drawn anew each time."""

    num_frames: int
    num_clips: int = 1

    def __call__(self, total: int) -> np.ndarray:
        """Numbers of frames [num_clips * num_frames], clip after clip, for a video of `total` frames."""
        return np.concatenate([random_frames(total, self.num_frames) for _ in range(self.num_clips)])


@dataclass(frozen=True)
class EvaluationFrames:
    """The clips of an evaluation.

    Args:
        num_frames: of a clip, T.
        num_clips: 1 takes the middle of each segment.
        mode: how several clips are told apart. "spread" takes frames at even distances within each segment, the
            same ones each time. "random" draws them as in training, which is how the published numbers came about.

    Raises:
        InputError: an unknown mode.
    """

    num_frames: int
    num_clips: int = 1
    mode: str = "spread"

    def __post_init__(self) -> None:
        if self.mode not in ("spread", "random"):
            raise InputError(f'the mode of the clips is {self.mode!r}, expected "spread" or "random".')

    def __call__(self, total: int) -> np.ndarray:
        """Numbers of frames [num_clips * num_frames], clip after clip, for a video of `total` frames."""
        if self.mode == "random" and self.num_clips > 1:
            return TrainingFrames(self.num_frames, self.num_clips)(total)
        places = [(clip + 0.5) / self.num_clips for clip in range(self.num_clips)]
        return np.concatenate([placed_frames(total, self.num_frames, place) for place in places])
