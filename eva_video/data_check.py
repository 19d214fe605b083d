"""The data check of video classification: every listed video, its length, frame rate and a frame from its middle."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from detectron2.config import instantiate
from omegaconf import OmegaConf
from PIL import Image
from tqdm import tqdm

from eva_backbone.errors import InputError
from eva_engine.data.video_file import MAX_VIDEO_PIXELS, open_video
from eva_engine.data_check.class_findings import check_classes
from eva_engine.data_check.data_check import DataCheck
from eva_engine.data_check.findings import MAX_EXAMPLES, Example, Finding, Severity
from eva_engine.data_check.image_findings import check_duplicates, check_files_in_both, unreadable_example
from eva_engine.data_check.image_scan import ImageSource, ScannedImage, perceptual_hash

from .data.mapper import ClipReader
from .data.video_dataset import VideoDataset, VideoRecord

_FRAME_SIDE = 256  # pixels of the frames that are kept
_UNUSUAL_RATE = 2.0  # times the median, or less than its inverse
_CHUNK = 1 << 20


@dataclass(frozen=True)
class VideoScan:
    """What a video holds.

    Attributes:
        num_frames: Number of frames.
        rate: Frames per second; 0 for a folder of frames.
        damage: What is wrong although frames can be read; "" if nothing.
        frame: Frame from the middle, RGB [H, W, 3] uint8; None if it cannot be read.
    """

    num_frames: int = 0
    rate: float = 0.0
    damage: str = ""
    frame: np.ndarray | None = None


@dataclass
class VideoData:
    """Data of one loader.

    Attributes:
        records: Records of the videos.
        class_names: Name of each class index.
        videos: What the videos hold, in the same order; empty before they are read.
    """

    records: list[VideoRecord]
    class_names: list[str]
    videos: list[VideoScan] = field(default_factory=list)


class VideoCheck(DataCheck):
    """Checks the videos and the annotation files of video classification."""

    task = "video"
    recipe = "projects/Video/configs/kinetics400.py"
    counted = "videos"

    def read(self, loader: str) -> VideoData:
        """Read the annotation file of a loader."""
        dataset = self.build_dataset(loader, VideoDataset)
        records = [dataset[index] for index in range(len(dataset))]
        names = OmegaConf.select(self.cfg, "dataloader.categories", default=None)
        num_classes = max(record["label"] for record in records) + 1
        listed = [str(name) for name in names] if names else [str(number) for number in range(num_classes)]
        return VideoData(records, listed)

    def facts(self, data: VideoData) -> Mapping[str, str]:
        """Return the number of videos, and their lengths if they were read."""
        facts = {"videos": f"{len(data.records):,}", "classes": f"{len({r['label'] for r in data.records}):,}"}
        frames = [video.num_frames for video in data.videos if video.num_frames]
        if frames:
            facts["frames"] = f"{min(frames):,} to {max(frames):,}, median {np.median(frames):,.0f}"
        rates = [video.rate for video in data.videos if video.rate]
        if rates:
            facts["frames per second"] = f"{min(rates):.4g} to {max(rates):.4g}, median {np.median(rates):.4g}"
        return facts

    def class_counts(self, data: VideoData) -> Mapping[str, int]:
        """Return the number of videos of each class."""
        counts = Counter(record["label"] for record in data.records)
        return {name: counts[index] for index, name in enumerate(data.class_names)}

    def check_records(self, data: Mapping[str, VideoData]) -> Iterable[Finding]:
        """Yield missing files, videos that are listed for training and validation, and what the classes show."""
        for part, found in data.items():
            yield from _check_missing(found, part)
        files = []
        for found in data.values():
            files.append({os.path.realpath(record["file_name"]) for record in found.records})
        yield from check_files_in_both(files, "videos are listed for training and for validation")
        yield from check_classes({part: self.class_counts(found) for part, found in data.items()}, self.counted)

    def scan(self, data: VideoData, part: str) -> Sequence[ScannedImage]:
        """Read the first, middle and last frame of every video."""
        reader = self._reader()
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            scans = pool.map(partial(_scan, reader=reader, names=data.class_names), data.records)
            found = list(tqdm(scans, f"{part} videos", total=len(data.records), disable=None, leave=False))
        data.videos = [video for _, video in found]
        return [scanned for scanned, _ in found]

    def _reader(self) -> ClipReader:
        node = OmegaConf.select(self.cfg, f"dataloader.{self.loaders[0]}.mapper.reader", default=None)
        return ClipReader() if node is None else instantiate(node)

    def check_files(self, data: Mapping[str, Any], scans: Mapping[str, Sequence[ScannedImage]]) -> Iterator[Finding]:
        """Yield unreadable, damaged and short videos, unusual frame rates, and duplicates."""
        num_frames = OmegaConf.select(self.cfg, "model.num_frames", default=None) or 1
        for part, found in data.items():
            unreadable = [scan for scan in scans[part] if scan.problem and os.path.exists(scan.source.name)]
            if unreadable:
                yield Finding(
                    "unreadable-videos",
                    Severity.ERROR,
                    f"{len(unreadable)} of {len(found.records)} videos cannot be read",
                    len(unreadable),
                    "replace or remove them",
                    tuple(map(unreadable_example, unreadable[:MAX_EXAMPLES])),
                    part,
                )
            yield from _check_videos(found, part, num_frames)
        yield from check_duplicates(scans, "video", partial(_draw_pair, _frames(data)))


def _check_missing(data: VideoData, part: str) -> Iterator[Finding]:
    folders: dict[str, set[str]] = {}
    missing = []
    for record in data.records:
        folder, name = os.path.split(record["file_name"])
        if folder not in folders:  # one listing instead of a call per file, which is slow on network drives
            folders[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        if name not in folders[folder]:
            missing.append(record["file_name"])
    if missing:
        yield Finding(
            "missing-videos",
            Severity.ERROR,
            f"{len(missing)} of {len(data.records)} videos do not exist",
            len(missing),
            "check the dataset's root and the paths in the annotation file",
            tuple(map(Example, missing[:MAX_EXAMPLES])),
            part,
        )


def _scan(record: VideoRecord, reader: ClipReader, names: Sequence[str]) -> tuple[ScannedImage, VideoScan]:
    file = record["file_name"]
    label = names[record["label"]] if record["label"] < len(names) else ""
    source = ImageSource(file, label=label)
    try:
        clip = reader.read(record, _first_middle_last, _shrink)
        rate = 0.0 if os.path.isdir(file) else _frame_rate(file)
    except InputError as error:
        return ScannedImage(source, str(error)), VideoScan()
    frame = clip.frames[1]
    digest = b"" if os.path.isdir(file) else _digest(file)
    scanned = ScannedImage(source, "", frame.shape[1::-1], 1, digest, perceptual_hash(Image.fromarray(frame)))
    return scanned, VideoScan(clip.num_frames, rate, clip.problem or "", frame)


def _first_middle_last(total: int) -> np.ndarray:
    return np.array([0, total // 2, total - 1])


def _shrink(frame: np.ndarray) -> np.ndarray:
    image = Image.fromarray(frame)
    image.thumbnail((_FRAME_SIDE, _FRAME_SIDE))
    return np.asarray(image)


def _frame_rate(file: str) -> float:
    container, stream = open_video(file, MAX_VIDEO_PIXELS, num_threads=1)
    with container:
        return float(stream.average_rate or stream.guessed_rate or 0)


def _digest(file: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    with open(file, "rb") as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    return digest.digest()


def _check_videos(data: VideoData, part: str, num_frames: int) -> Iterator[Finding]:
    pairs = list(zip(data.records, data.videos, strict=True))
    damaged = [(record, video, video.damage) for record, video in pairs if video.damage]
    if damaged:
        what = f"{len(damaged)} of {len(pairs)} videos are damaged or truncated, although frames can be read"
        fix = "replace them if more than their end is missing"
        yield Finding("damaged-videos", Severity.WARNING, what, len(damaged), fix, _examples(damaged), part)
    short = []
    for record, video in pairs:
        if 0 < video.num_frames < num_frames:
            short.append((record, video, f"{video.num_frames} frames"))
    if short:
        what = (
            f"{len(short)} of {len(pairs)} videos have fewer than the {num_frames} frames of a clip, which repeats some"
        )
        fix = "remove them, or use clips with fewer frames"
        yield Finding("short-videos", Severity.WARNING, what, len(short), fix, _examples(short), part)
    rates = [video.rate for _, video in pairs if video.rate]
    median = float(np.median(rates)) if rates else 0.0
    unusual = []
    for record, video in pairs:
        if video.rate and not median / _UNUSUAL_RATE < video.rate < median * _UNUSUAL_RATE:
            unusual.append((record, video, f"{video.rate:.4g} frames per second"))
    if unusual:
        what = (
            f"{len(unusual)} of {len(pairs)} videos have a frame rate of at least twice or at most half of the median, "
            f"{median:.4g} per second"
        )
        fix = "convert them to the same rate if the speed of a motion matters"
        yield Finding("frame-rates", Severity.NOTE, what, len(unusual), fix, _examples(unusual), part)


def _examples(videos: Sequence[tuple[VideoRecord, VideoScan, str]]) -> tuple[Example, ...]:
    examples = []
    for record, video, text in videos[:MAX_EXAMPLES]:
        draw = None if video.frame is None else partial(np.asarray, video.frame)
        examples.append(Example(record["file_name"], text, draw))
    return tuple(examples)


def _frames(data: Mapping[str, VideoData]) -> dict[str, np.ndarray]:
    frames = {}
    for found in data.values():
        for record, video in zip(found.records, found.videos, strict=True):
            if video.frame is not None:
                frames[record["file_name"]] = video.frame
    return frames


def _draw_pair(frames: Mapping[str, np.ndarray], first: ImageSource, second: ImageSource) -> Callable[[], np.ndarray]:
    return partial(_join, frames[first.name], frames[second.name])


def _join(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    height = max(len(first), len(second))
    padded = [np.pad(each, [(0, height - len(each)), (0, 4), (0, 0)], constant_values=255) for each in (first, second)]
    return np.concatenate(padded, axis=1)
