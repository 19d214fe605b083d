"""The data check of EVA-CLIP: images with their captions, and the labelled images of its evaluations."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import IO, Any

from detectron2.config import instantiate
from omegaconf import OmegaConf

from eva_backbone.errors import InputError
from eva_classification.data.image_dataset import ImageDataset
from eva_classification.data_check import ClassificationData
from eva_engine.data_check.data_check import DataCheck
from eva_engine.data_check.findings import MAX_EXAMPLES, Example, Finding, Severity
from eva_engine.data_check.image_findings import check_files_in_both
from eva_engine.data_check.image_scan import ImageSource, ScannedImage, scan_images

from .data.caption_dataset import CaptionDataset, CaptionRecord
from .data.retrieval_dataset import RetrievalDataset
from .data.shard_dataset import ShardDataset
from .tokenizer import Tokenizer

# Pairs of tar shards that are looked at; all pairs of a caption file are.
_MAX_SHARD_PAIRS = 100_000
_RARE = 0.01
_MANY_USES = 20


@dataclass(frozen=True)
class PairData:
    """Data of one loader.

    Attributes:
        total: Number of images in the dataset.
        images: The images that are looked at.
        captions: Their captions, in the same order; [] for labelled images.
    """

    total: int
    images: list[ImageSource]
    captions: list[list[str]]


class PairCheck(DataCheck):
    """Checks captions and images of EVA-CLIP."""

    task = "EVA-CLIP"
    recipe = "projects/CLIP/configs/eva_clip_g14_captions.py"

    @property
    def is_quick_before_training(self) -> bool:
        """Whether the captions are in one file; those of tar shards are spread over all of their content."""
        return all("shards" not in self.cfg.dataloader[loader].dataset for loader in self.loaders)

    def read(self, loader: str) -> PairData:
        """Read the captions of a loader, of tar shards those of a random sample."""
        # A check writes nothing next to the user's data.
        options = {"save_indices": False} if "shards" in self.cfg.dataloader[loader].dataset else {}
        known = (CaptionDataset, ShardDataset, RetrievalDataset, ImageDataset)
        dataset = self.build_dataset(loader, *known, **options)
        if isinstance(dataset, ImageDataset):
            return PairData(len(dataset), ClassificationData.of(dataset).images, [])
        if isinstance(dataset, CaptionDataset):
            records = [dataset[number] for number in range(len(dataset))]
            captions = dataset.captions
        elif isinstance(dataset, ShardDataset):
            numbers = random.Random(0).sample(range(len(dataset)), min(len(dataset), _MAX_SHARD_PAIRS))
            records = [dataset[number] for number in sorted(numbers)]
            captions = [_captions(record) for record in records]
        else:
            records = [dataset[number] for number in range(len(dataset))]
            by_file: dict[str, list[str]] = {}
            for caption, file in dataset.captions:
                by_file.setdefault(file, []).append(caption)
            captions = [by_file.get(record["file_name"], []) for record in records]
        images = [ImageSource(record["file_name"], partial(_open, record)) for record in records]
        return PairData(len(dataset), images, captions)

    def facts(self, data: PairData) -> Mapping[str, str]:
        """Return the numbers of images and captions."""
        facts = {"images": f"{data.total:,}"}
        if data.captions:
            captions = list(chain.from_iterable(data.captions))
            words = sorted(len(caption.split()) for caption in captions) or [0]
            facts["looked at"] = f"{len(data.images):,}"
            facts["captions"] = f"{len(captions):,}"
            facts["words per caption"] = f"{words[0]} to {words[-1]}, median {words[len(words) // 2]}"
        return facts

    def class_counts(self, data: PairData) -> Mapping[str, int]:
        """Return the number of images of each class, of labelled images."""
        return Counter(image.label for image in data.images if image.label)

    def check_records(self, data: Mapping[str, PairData]) -> Iterable[Finding]:
        """Yield what the captions show."""
        node = OmegaConf.select(self.cfg, "dataloader.train.mapper.tokenizer", default=None)
        tokenizer = None if node is None else instantiate(node)
        for part, found in data.items():
            if found.captions:
                yield from _check_captions(found, part, tokenizer)
        files = []
        for found in data.values():
            files.append({image.name for image in found.images})
        yield from check_files_in_both(files, "images are used for training and for the evaluation")

    def scan(self, data: PairData, part: str) -> Sequence[ScannedImage]:
        """Read the images that are looked at."""
        return scan_images(data.images, part)


def _open(record: Any) -> IO[bytes]:
    return record["read"]()[0]


def _captions(record: CaptionRecord) -> list[str]:
    """Return the captions of a pair in a shard; none if they cannot be read."""
    try:
        file, captions = record["read"]()
    except InputError:
        return []
    file.close()
    return captions


def _check_captions(data: PairData, part: str, tokenizer: Tokenizer | None) -> Iterator[Finding]:
    pairs: list[tuple[ImageSource, str]] = []
    empty = []
    twice = []
    for image, texts in zip(data.images, data.captions, strict=True):
        pairs += [(image, text) for text in texts]
        if not any(map(str.strip, texts)):
            empty.append((image, ""))
        twice += [(image, text) for text, count in Counter(texts).items() if count > 1]
    if empty:
        what = f"{len(empty)} of {len(data.images)} images have no caption"
        yield _finding("empty-texts", Severity.ERROR, what, empty, "write one", part)
    if tokenizer is not None:
        _, cut = tokenizer.tokenize([text for _, text in pairs])
        if cut:
            length = tokenizer.context_length - 2
            what = f"{len(cut)} of {len(pairs)} captions have more than {length} tokens and are cut"
            severity = Severity.WARNING if len(cut) > _RARE * len(pairs) else Severity.NOTE
            yield _finding("long-texts", severity, what, [pairs[i] for i in cut], "shorten them", part)
    if twice:
        what = f"{len(twice)} images have the same caption several times"
        yield _finding("duplicate-pairs", Severity.WARNING, what, twice, "keep each pair once", part)
    uses = Counter(text.strip().casefold() for _, text in pairs)
    common = [text for text, count in uses.most_common(MAX_EXAMPLES) if count >= _MANY_USES]
    if common:
        first: dict[str, tuple[ImageSource, str]] = {}
        for image, text in pairs:
            key = text.strip().casefold()
            if key in common and key not in first:
                first[key] = image, f"{uses[key]} images: {text}"
        num_images = sum(count for count in uses.values() if count >= _MANY_USES)
        what = f"{num_images} of {len(pairs)} captions are used for {_MANY_USES} or more images each"
        fix = "describe the images, because each of them is a negative example for the others' caption in a batch"
        examples = [first[key] for key in common]
        yield _finding("common-texts", Severity.NOTE, what, examples, fix, part, num_images)


def _finding(
    code: str,
    severity: Severity,
    what: str,
    pairs: Sequence[tuple[ImageSource, str]],
    fix: str,
    part: str,
    count: int | None = None,
) -> Finding:
    examples = tuple(Example(image.name, text[:200], image.thumbnail) for image, text in pairs[:MAX_EXAMPLES])
    return Finding(code, severity, what, len(pairs) if count is None else count, fix, examples, part)
