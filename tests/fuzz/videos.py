"""Mutate small videos of several formats: each gives frames of its size, or is refused with one sentence."""

import functools
import random
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from eva_backbone.errors import InputError
from eva_engine.prediction.video import VideoReader, VideoWriter
from eva_video.data import read_clip

SIZE = (48, 32)
FORMATS = (
    ("mp4", "libx264", {"bf": "2", "g": "4"}),
    ("mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
    ("mkv", "libx264", {"bf": "1"}),
    ("avi", "mpeg4", {}),
    ("avi", "mjpeg", {}),
    ("ts", "libx264", {"g": "3"}),
    ("mpg", "mpeg2video", {}),
    ("webm", "libvpx", {"cpu-used": "5"}),
    ("webm", "libvpx-vp9", {"cpu-used": "8"}),
    ("flv", "flv", {}),
    ("asf", "wmv2", {}),
    ("h264", "libx264", {}),
)
NUMBERS = (0, 1, 2, 127, 128, 255, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
MAX_SECONDS = 10.0  # of processor time


@functools.cache
def originals() -> list[tuple[str, bytes]]:
    """The suffix and the content of an intact video of every format."""
    with tempfile.TemporaryDirectory() as folder:
        return [(suffix, write_video(Path(folder, f"clip.{suffix}"), *rest)) for suffix, *rest in FORMATS]


def write_video(path: Path, codec: str, options: dict[str, str], num_frames: int = 8, size: tuple = SIZE) -> bytes:
    width, height = size
    muxer_options = {name: options[name] for name in options if name == "movflags"}
    coder_options = {name: options[name] for name in options if name != "movflags"}
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options=muxer_options) as container:
        stream = container.add_stream(codec, rate=Fraction(25), options=coder_options)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.thread_count = 1
        for number in range(num_frames):
            image = rng.integers(0, 30, (height, width, 3), np.uint8) + np.uint8(20 * number)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def mutate(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        # Headers are at the beginning, and in many formats at the end as well.
        position = rng.choice((rng.randrange(min(600, len(changed))), rng.randrange(len(changed))))
        match rng.randrange(6):
            case 0:
                changed[position] = rng.randrange(256)
            case 1:
                number = rng.choice(NUMBERS).to_bytes(4, rng.choice(("big", "little")))
                changed[position : position + 4] = number
            case 2:
                del changed[position : position + rng.randrange(1, 200)]
            case 3:
                changed[position:position] = changed[position : position + rng.randrange(1, 200)]
            case 4:
                other = rng.choice(originals())[1]
                start = rng.randrange(len(other))
                changed[position : position + 100] = other[start : start + 100]
            case 5:
                del changed[max(position, 1) :]
        if not changed:
            changed = bytearray(b"\0")
    return bytes(changed)


def read_and_write(path: Path) -> None:
    """Read a video as `predict` does, and write it again."""
    with VideoReader(path) as reader:
        writer = None
        for frame in reader:
            assert frame.image.ndim == 3
            assert frame.image.dtype == np.uint8
            if writer is None:
                height, width = frame.image.shape[:2]
                writer = VideoWriter(path.with_name("copy.mp4"), width, height, reader.rate, reader.time_base)
            writer.write(frame.image, frame.pts)
        writer.__exit__(None)


def sample(path: Path) -> None:
    clip = read_clip(str(path), lambda total: np.linspace(0, total - 1, 4).astype(int))
    assert clip.frames.shape[0] == 4
    assert clip.num_frames > 0


def attempt(read: Callable[[Path], None], path: Path) -> None:
    start = time.process_time()
    try:
        read(path)
    except InputError as error:
        sentence = str(error)
        assert sentence.startswith(f"{path}: "), sentence
        assert "\n" not in sentence, sentence
        assert len(sentence) < 500, sentence
    assert time.process_time() - start < MAX_SECONDS


def run(rounds: int, seed: int) -> None:
    """Try `rounds` mutated videos."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            rng = random.Random(f"{seed} {number}")
            suffix, content = rng.choice(originals())
            path = Path(folder, f"clip.{suffix}")
            path.write_bytes(mutate(content, rng))
            for read in (read_and_write, sample):
                try:
                    attempt(read, path)
                except Exception as error:
                    raise AssertionError(f"round {number} of seed {seed}: {suffix}, {read.__name__}") from error
