"""The data check of classification: images in one folder per class, or in one of the other forms of `ImageDataset`."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO, Any

from eva_engine.data_check.class_findings import check_classes
from eva_engine.data_check.data_check import DataCheck
from eva_engine.data_check.findings import MAX_EXAMPLES, Example, Finding, Severity
from eva_engine.data_check.image_findings import check_images
from eva_engine.data_check.image_scan import ImageSource, ScannedImage, scan_images

from .data.image_dataset import ImageDataset, ImageRecord

_SMALL_SIDE = 32  # pixels
_MAX_ASPECT_RATIO = 4


@dataclass(frozen=True)
class ClassificationData:
    """Data of one loader.

    Attributes:
        dataset: The dataset.
        class_names: Name of each class index.
        labels: Class index of each image; empty if that is only known when the image is read.
    """

    dataset: ImageDataset
    class_names: dict[int, str]
    labels: list[int]

    @classmethod
    def of(cls, dataset: ImageDataset) -> "ClassificationData":
        """Return the data of a dataset."""
        names = {index: name for name, index in dataset.class_numbers.items()}
        return cls(dataset, names, dataset.labels if names else [])

    @property
    def images(self) -> list[ImageSource]:
        """The images with the names of their classes."""
        sources = []
        for index in range(len(self.dataset)):
            record = self.dataset[index]
            label = self.class_names.get(self.labels[index], "") if self.labels else ""
            sources.append(ImageSource(record["file_name"], partial(_open, record), label=label))
        return sources

    @property
    def class_counts(self) -> dict[str, int]:
        """Number of images of each class."""
        counts = Counter(self.labels)
        if self.labels:
            return {name: counts[index] for index, name in sorted(self.class_names.items())}
        return {}


def _open(record: ImageRecord) -> IO[bytes]:
    file, _ = record["read"]()
    return file


class ClassificationCheck(DataCheck):
    """Checks classes and images of classification and of masked image modelling."""

    task = "classification"
    recipe = "projects/Classification/configs/in1k_336.py"

    def read(self, loader: str) -> ClassificationData:
        """List the images of a loader."""
        return ClassificationData.of(self.build_dataset(loader, ImageDataset))

    def facts(self, data: ClassificationData) -> Mapping[str, str]:
        """Return the numbers of images and classes."""
        facts = {"images": f"{len(data.dataset):,}"}
        counts = [count for count in data.class_counts.values() if count]
        if counts:
            facts["classes"] = f"{len(counts):,}"
            facts["images per class"] = f"{min(counts):,} to {max(counts):,}"
        return facts

    def class_counts(self, data: ClassificationData) -> Mapping[str, int]:
        """Return the number of images of each class."""
        return data.class_counts

    def check_records(self, data: Mapping[str, ClassificationData]) -> Iterable[Finding]:
        """Yield what the classes show."""
        return check_classes({part: found.class_counts for part, found in data.items()}, self.counted)

    def scan(self, data: ClassificationData, part: str) -> Sequence[ScannedImage]:
        """Read all images."""
        return scan_images(data.images, part)

    def check_files(self, data: Mapping[str, Any], scans: Mapping[str, Sequence[ScannedImage]]) -> Iterator[Finding]:
        """Yield what is found in the images: what concerns all tasks, tiny and very long images."""
        yield from check_images(scans)
        for part in data:
            yield from _check_sizes(part, [image for image in scans[part] if not image.problem])


def _check_sizes(part: str, images: Sequence[ScannedImage]) -> Iterator[Finding]:
    small = [image for image in images if min(image.size) < _SMALL_SIDE]
    if small:
        yield Finding(
            "small-images",
            Severity.NOTE,
            f"{len(small)} of {len(images)} images have a side below {_SMALL_SIDE} pixels",
            len(small),
            "check that they are not thumbnails or icons",
            _size_examples(small),
            part,
        )
    long = [image for image in images if max(image.size) > _MAX_ASPECT_RATIO * min(image.size)]
    if long:
        yield Finding(
            "long-images",
            Severity.NOTE,
            f"{len(long)} of {len(images)} images are more than {_MAX_ASPECT_RATIO} times as long as wide; the crop in "
            "the middle, which is evaluated, shows a small part of them",
            len(long),
            "crop them to what the label means",
            _size_examples(long),
            part,
        )


def _size_examples(images: Sequence[ScannedImage]) -> tuple[Example, ...]:
    examples = []
    for image in images[:MAX_EXAMPLES]:
        width, height = image.size
        examples.append(Example(image.source.name, f"{width}x{height} pixels", image.source.thumbnail))
    return tuple(examples)
