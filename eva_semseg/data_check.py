"""The data check of segmentation: the label maps of all images."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from eva_backbone.errors import InputError
from eva_engine.data_check.class_findings import check_classes
from eva_engine.data_check.data_check import DataCheck
from eva_engine.data_check.findings import MAX_EXAMPLES, Example, Finding, Severity
from eva_engine.data_check.image_findings import check_files_in_both, check_images, image_example
from eva_engine.data_check.image_scan import ImageSource, ScannedImage, scan_images
from eva_engine.prediction.colors import palette_color

from .data.label_file import LabelValues, read_labels
from .data.segmentation_dataset import SegmentationDataset
from .segmentation_targets import IGNORE_LABEL

_MANY_UNLABELLED = 0.5
_ANY_VALUE = 2**31 - 1


@dataclass(frozen=True)
class LabelScan:
    """What a label file holds.

    Attributes:
        problem: Why it cannot be used; "" if it can.
        size: (width, height) in pixels.
        pixels: Number of pixels of each class index; those of no class under `IGNORE_LABEL`.
        unknown: Values that mean no class, with their numbers of pixels.
    """

    problem: str = ""
    size: tuple[int, int] = (0, 0)
    pixels: dict[int, int] = field(default_factory=dict)
    unknown: dict[int, int] = field(default_factory=dict)

    @property
    def unlabelled(self) -> float:
        """Fraction of the pixels that is not labelled."""
        return self.pixels.get(IGNORE_LABEL, 0) / max(sum(self.pixels.values()), 1)


@dataclass
class SegmentationData:
    """Data of one loader.

    Attributes:
        dataset: The dataset.
        labels: What the label files hold, in its order; empty before they are read.
    """

    dataset: SegmentationDataset
    labels: list[LabelScan] = field(default_factory=list)

    @property
    def class_counts(self) -> dict[str, int]:
        """Number of pixels of each class in all label files; empty before they are read."""
        pixels: Counter[int] = Counter()
        for label in self.labels:
            pixels.update(label.pixels)
        if self.labels:
            return {name: pixels[index] for index, name in enumerate(self.dataset.class_names)}
        return {}


class SegmentationCheck(DataCheck):
    """Checks images and label maps of semantic segmentation."""

    task = "segmentation"
    recipe = "projects/SemSeg/configs/ade20k_ss.py"
    counted = "pixels"

    def read(self, loader: str) -> SegmentationData:
        """List the images and label files of a loader."""
        return SegmentationData(self.build_dataset(loader, SegmentationDataset))

    def facts(self, data: SegmentationData) -> Mapping[str, str]:
        """Return the numbers of images and classes, and the share of unlabelled pixels if labels were read."""
        facts = {"images": f"{len(data.dataset):,}", "classes": f"{len(data.dataset.class_names):,}"}
        if data.labels:
            facts["unlabelled"] = f"{np.mean([label.unlabelled for label in data.labels]):.1%}"
        return facts

    def class_counts(self, data: SegmentationData) -> Mapping[str, int]:
        """Return the number of pixels of each class."""
        return data.class_counts

    def check_records(self, data: Mapping[str, SegmentationData]) -> Iterable[Finding]:
        """Yield image files that are in both parts of the data."""
        files = []
        for found in data.values():
            files.append({os.path.realpath(record["file_name"]) for record in found.dataset})
        yield from check_files_in_both(files, "image files are used for training and for validation", image_example)

    def scan(self, data: SegmentationData, part: str) -> Sequence[ScannedImage]:
        """Read the images and the label files."""
        dataset = data.dataset
        files = [record["sem_seg_file_name"] for record in dataset]
        read = partial(_scan_label, num_classes=len(dataset.class_names), values=getattr(dataset, "label_values", None))
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            scans = pool.map(read, files)
            data.labels = list(tqdm(scans, f"{part} labels", total=len(files), disable=None, leave=False))
        return scan_images([ImageSource(record["file_name"]) for record in dataset], part)

    def check_files(self, data: Mapping[str, Any], scans: Mapping[str, Sequence[ScannedImage]]) -> Iterator[Finding]:
        """Yield what is found in images and label files."""
        yield from check_images(scans)
        for part, found in data.items():
            yield from _check_labels(found, scans[part], part)
        yield from check_classes({part: found.class_counts for part, found in data.items()}, self.counted)


def _scan_label(file: str, num_classes: int, values: LabelValues | None) -> LabelScan:
    # A colour that the palette does not list is an error of the file. Numbers without a class are counted instead.
    has_colours = values is not None and isinstance(next(iter(values)), tuple)
    try:
        if has_colours:
            labels = read_labels(file, num_classes, label_values=values)
        else:
            labels = read_labels(file, _ANY_VALUE)
    except InputError as error:
        return LabelScan(str(error))
    pixels: Counter[int] = Counter()
    unknown: dict[int, int] = {}
    found, counts = np.unique(labels, return_counts=True)
    for value, count in zip(found.tolist(), counts.tolist(), strict=True):
        class_index = value
        if values is not None and not has_colours:
            class_index = values.get(value, -1)
        if not 0 <= class_index < num_classes and class_index != IGNORE_LABEL:
            unknown[value] = count
            class_index = IGNORE_LABEL
        pixels[class_index] += count
    return LabelScan("", labels.shape[::-1], dict(pixels), unknown)


def _check_labels(data: SegmentationData, images: Sequence[ScannedImage], part: str) -> Iterator[Finding]:
    records = data.dataset
    pairs = list(zip(records, data.labels, strict=True))
    total = len(pairs)
    unreadable = [(record, label) for record, label in pairs if label.problem]
    if unreadable:
        examples = tuple(Example(record["sem_seg_file_name"], label.problem) for record, label in unreadable)
        what = f"{len(unreadable)} of {total} label files cannot be read"
        fix = "replace them by images with one class index per pixel"
        yield Finding("unreadable-labels", Severity.ERROR, what, len(unreadable), fix, examples[:MAX_EXAMPLES], part)
    unknown = [(record, label) for record, label in pairs if label.unknown]
    if unknown:
        values = Counter[int]()
        for _, label in unknown:
            values.update(label.unknown)
        listed = ", ".join(f"{value} ({count:,} pixels)" for value, count in values.most_common(8))
        what = f"{len(unknown)} of {total} label files have values that mean no class: {listed}"
        fix = f"map them with the dataset's label_values, with {IGNORE_LABEL} for unlabelled pixels, or add the classes"
        yield Finding("unknown-values", Severity.ERROR, what, len(unknown), fix, _examples(unknown), part)
    other_size = []
    for (record, label), image in zip(pairs, images, strict=True):
        if not label.problem and not image.problem and label.size != image.size:
            other_size.append((record, label))
    if other_size:
        what = f"{len(other_size)} of {total} label files have another size than their image"
        fix = "give the label map of this image, at its size"
        yield Finding("label-size", Severity.ERROR, what, len(other_size), fix, _examples(other_size), part)
    readable = [(record, label) for record, label in pairs if not label.problem]
    empty = [(record, label) for record, label in readable if label.unlabelled == 1]
    if empty:
        what = f"{len(empty)} of {total} label files have no labelled pixel"
        fix = "label them, or remove them with their images"
        yield Finding("empty-labels", Severity.WARNING, what, len(empty), fix, _examples(empty), part)
    fraction = np.mean([label.unlabelled for _, label in readable]) if readable else 0.0
    if fraction > _MANY_UNLABELLED:
        most = sorted(readable, key=lambda pair: -pair[1].unlabelled)
        what = f"{fraction:.0%} of the pixels are not labelled"
        fix = f"check whether the value of a class is read as unlabelled; {IGNORE_LABEL} is, see label_values"
        yield Finding("unlabelled", Severity.WARNING, what, len(readable), fix, _examples(most), part)


def _examples(pairs: Sequence[tuple[dict, LabelScan]]) -> tuple[Example, ...]:
    examples = []
    for record, label in pairs[:MAX_EXAMPLES]:
        text = f"{label.size[0]}x{label.size[1]} pixels, {label.unlabelled:.0%} unlabelled"
        examples.append(Example(record["sem_seg_file_name"], text, partial(_draw, record)))
    return tuple(examples)


def _draw(record: dict) -> np.ndarray:
    """Return the image and its labels in colours next to each other, [H, W, 3] uint8."""
    image = ImageSource(record["file_name"]).thumbnail()
    labels = read_labels(record["sem_seg_file_name"], _ANY_VALUE)
    height, width = image.shape[:2]
    rows = np.arange(height) * labels.shape[0] // height
    columns = np.arange(width) * labels.shape[1] // width
    small = labels[np.ix_(rows, columns)]
    colors = np.zeros((height, width, 3), np.uint8)
    for value in np.unique(small).tolist():
        colors[small == value] = (210, 210, 210) if value == IGNORE_LABEL else palette_color(value)
    return np.concatenate([image, colors], axis=1)
