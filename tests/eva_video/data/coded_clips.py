"""Videos whose frames carry their number as black and white blocks."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS, BLOCK = 10, 16
HEIGHT, WIDTH = 3 * BLOCK, BITS * BLOCK
RATE = Fraction(30)
TICKS = 512  # per frame


def coded_image(number: int) -> np.ndarray:
    """[48, 160, 3]: the bits of `number` as blocks in the middle row, between two rows of grey that move."""
    image = np.full((HEIGHT, WIDTH, 3), 40 + number % 150, np.uint8)
    for bit in range(BITS):
        image[BLOCK : 2 * BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255 * (number >> bit & 1)
    return image


def read_codes(frames: np.ndarray) -> list[int]:
    """The numbers that frames [T, 48, 160, 3] carry."""
    blocks = frames[:, BLOCK : 2 * BLOCK].reshape(len(frames), BLOCK, BITS, BLOCK, 3).mean((1, 3, 4))
    return ((blocks > 127) @ (1 << np.arange(BITS))).tolist()


def write_coded(
    path: Path,
    num_frames: int = 300,
    codec: str = "libx264",
    times: Sequence[int] | None = None,
    change: Callable[[av.VideoStream], None] | None = None,
    movflags: str = "",
    **options: object,
) -> Path:
    """Encode the numbers 0 to `num_frames` - 1; `options` are the encoder's, `times` in 1/15360 s.

    `change` gets the stream before anything is written.
    """
    names = {name.replace("_", "-") if codec == "libx264" else name: str(value) for name, value in options.items()}
    with av.open(str(path), "w", options={"movflags": movflags} if movflags else {}) as container:
        stream = container.add_stream(codec, rate=RATE, options=names)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, int(RATE) * TICKS) if times is not None else 1 / RATE
        stream.codec_context.thread_count = 1
        if change is not None:
            change(stream)
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(coded_image(number), format="rgb24")
            frame.pts = number if times is None else times[number]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def remux(source: Path, target: Path, shift: int) -> Path:
    """Copy the packets with all times earlier by `shift` frames, which an edit list then cuts off."""
    with av.open(str(source)) as reader, av.open(str(target), "w", options={"avoid_negative_ts": "disabled"}) as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        earlier = int(shift / RATE / stream.time_base)
        for packet in reader.demux(stream):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - earlier, packet.dts - earlier, copy
                writer.mux(packet)
    return target
