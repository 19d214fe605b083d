"""The frames that were chosen of a video, put in as they are decoded, in any order."""

from collections.abc import Callable

import numpy as np

# From the number of frames of a video to the numbers [N] of those that are wanted, from 0 on.
ChooseFrames = Callable[[int], np.ndarray]
PrepareFrame = Callable[[np.ndarray], np.ndarray]


class ChosenFrames:
    """One array, made when the first frame comes; a frame that was chosen several times is decoded once.

    Args:
        numbers: of the frames [N], from 0 on.
        prepare: what is done to each frame, [H, W, 3] uint8 RGB, before it is kept, so that full frames are not.
    """

    def __init__(self, numbers: np.ndarray, prepare: PrepareFrame | None) -> None:
        self._prepare = prepare
        self._length = len(numbers)
        self._places: dict[int, list[int]] = {}
        for place, number in enumerate(np.asarray(numbers).tolist()):
            self._places.setdefault(number, []).append(place)
        self._frames: np.ndarray | None = None

    @property
    def missing(self) -> list[int]:
        """Numbers of the frames that have not come yet, in the order of the choice."""
        return list(self._places)

    def put(self, number: int, image: np.ndarray) -> None:
        """Take a frame [H, W, 3] that is missing.

        Raises:
            KeyError: it is not.
        """
        places = self._places.pop(number)
        image = image if self._prepare is None else self._prepare(image)
        if self._frames is None:
            self._frames = np.empty((self._length, *image.shape), image.dtype)
        self._frames[places] = image

    @property
    def frames(self) -> np.ndarray:
        """[N, h, w, 3] as prepared.

        Raises:
            ValueError: frames are missing.
        """
        if self._frames is None or self._places:
            raise ValueError(f"frames {self.missing} have not come yet")
        return self._frames
