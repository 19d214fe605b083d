"""A buffer that collects the sampled frames of a video while they are decoded, in any order."""

from collections.abc import Callable

import numpy as np

# From the number of frames of a video to the indices [N] of the frames to read.
FrameSampler = Callable[[int], np.ndarray]
# From a frame [H, W, 3] uint8 RGB to the array that is kept of it.
PrepareFrame = Callable[[np.ndarray], np.ndarray]


class FrameBuffer:
    """Collect frames into one array, which is allocated when the first frame arrives.

    An index that was sampled several times is decoded once and copied to each of its positions.

    Args:
        indices: Indices [N] of the sampled frames, from 0.
        prepare: Function applied to each frame, [H, W, 3] uint8 RGB, before it is stored; frames are then never held at
            their full size.
    """

    def __init__(self, indices: np.ndarray, prepare: PrepareFrame | None) -> None:
        self._prepare = prepare
        self._length = len(indices)
        self._positions: dict[int, list[int]] = {}
        for position, index in enumerate(np.asarray(indices).tolist()):
            self._positions.setdefault(index, []).append(position)
        self._frames: np.ndarray | None = None

    @property
    def missing(self) -> list[int]:
        """Indices of the frames that have not been stored yet, in sampling order."""
        return list(self._positions)

    def put(self, index: int, image: np.ndarray) -> None:
        """Store the frame `image` [H, W, 3].

        Raises:
            KeyError: The frame was not sampled, or is stored already.
        """
        positions = self._positions.pop(index)
        if self._prepare is not None:
            image = self._prepare(image)
        if self._frames is None:
            self._frames = np.empty((self._length, *image.shape), image.dtype)
        self._frames[positions] = image

    @property
    def frames(self) -> np.ndarray:
        """The prepared frames [N, h, w, 3] in sampling order.

        Raises:
            ValueError: Frames are missing.
        """
        if self._frames is None or self._positions:
            raise ValueError(f"frames {self.missing} have not been stored yet")
        return self._frames
