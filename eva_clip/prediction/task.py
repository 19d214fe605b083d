"""Zero-shot classification by free-text labels for the command `predict`."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from eva_backbone.errors import InputError
from eva_engine.data import read_rgb_image
from eva_engine.prediction import FileTask, Input
from eva_engine.prediction.file_task import print_result
from eva_engine.prediction.json_text import json_lines, whole_records
from eva_engine.prediction.trained_model import applies_exif_orientation
from eva_engine.safe_text import csv_row

from ..evaluation import read_class_names, read_templates
from .contact_sheet import ContactSheets, make_thumbnail, undrawable_labels
from .predictor import DEFAULT_TEMPLATES, LabelPredictor, LabelScore

LABEL_WIDTH, PATH_WIDTH = 40, 60  # characters in the printed table


class ImageSample(NamedTuple):
    """An image as model input [3, S, S], and as thumbnail for the contact sheet."""

    pixels: Tensor
    thumbnail: Image.Image


class ClipFileTask(FileTask[ImageSample]):
    """Print the best labels of each image as a table, write the scores and draw contact sheets.

    ``scores.jsonl`` has a line {"image": path, "labels": [{"label", "probability", "similarity"}, ...]} for each image,
    best label first; ``scores.csv`` has a row for each image and a column with the probability of each label;
    ``contact_sheet*.png`` show the images with their best labels.

    Args:
        cfg: Recipe, see :meth:`LabelPredictor.from_config`.
        weights: Weight file of the model.
        device: "auto" or the name of a torch device.
        labels: Two or more labels, or a text file with one per line; see :func:`read_labels`.
        templates: Texts with {} for the label, or a single source of them; see `read_templates`.
        top: Number of labels that are printed and drawn for each image.
        batch_size: Number of images per forward pass.
        dtype: Type of the parameters.
    """

    def __init__(
        self,
        cfg: Any,
        weights: str | Path,
        device: str = "auto",
        *,
        labels: Sequence[str],
        templates: Sequence[str] = DEFAULT_TEMPLATES,
        top: int = 5,
        batch_size: int = 16,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.labels = read_labels(labels)
        self.predictor = LabelPredictor.from_config(
            cfg,
            weights,
            device,
            labels=self.labels,
            templates=read_templates(templates[0] if len(templates) == 1 else templates),
            dtype=dtype,
        )
        self.apply_exif_orientation = applies_exif_orientation(cfg)
        self.top = top
        self.batch_size = batch_size
        cut_labels = self.predictor.cut_labels
        if cut_labels:
            names = ", ".join(repr(label if len(label) <= 60 else f"{label[:60]}...") for label in cut_labels)
            print(
                f"cut to the {self.predictor.context_length} tokens that the model reads: {len(cut_labels)} of "
                f"{len(self.labels)} labels ({names})",
                file=sys.stderr,
            )

    def open(self, stack: ExitStack) -> None:
        """Create the score files and remove old contact sheets; closing `stack` writes the last sheet."""
        self.path_width = min(PATH_WIDTH, max(len(str(item.path)) for item in self.inputs))
        self.write = stack.enter_context(_score_files(self.folder, self.labels))
        self.sheets = stack.enter_context(ContactSheets(self.folder, len(self.inputs), self.top))

    def read(self, item: Input) -> ImageSample:
        """Read an image, transform it to the model's input and make a thumbnail."""
        image = read_rgb_image(item.path, apply_exif_orientation=self.apply_exif_orientation)
        return ImageSample(self.predictor.prepare(image), make_thumbnail(Image.fromarray(image)))

    def predict(self, batch: Sequence[tuple[Input, ImageSample]]) -> None:
        """Score a batch of images; print, write and draw the results."""
        pixels = torch.stack([sample.pixels for _, sample in batch])
        for (item, sample), scores in zip(batch, self.predictor(pixels), strict=True):
            best = "  ".join(f"{_shorten(score.label)} {score.probability:.1%}" for score in scores[: self.top])
            print_result(f"{item.path!s:<{self.path_width}}  {best}")
            self.write(item.path, scores)
            self.sheets.add(item.path, sample.thumbnail, scores)

    def notes(self) -> list[str]:
        """Return the paths of the contact sheets, and the labels that no font could draw there."""
        if not self.sheets.files:
            return []
        notes = [f"contact sheets: {', '.join(str(file) for file in self.sheets.files)}"]
        undrawable = undrawable_labels(self.labels)
        if undrawable:
            labels = ", ".join(f"label {number} is {self.labels[number - 1]!r}" for number in undrawable)
            notes.append(f"drawn by number, as no font here has their letters: {labels}")
        return notes


def read_labels(given: Sequence[str]) -> tuple[str, ...]:
    """Check labels and collapse their white space.

    Args:
        given: Two or more labels, or the path of a text file (.txt) with one per line.

    Raises:
        InputError: There are fewer than two labels, one of them is empty, or one is given twice (the model does not
            distinguish upper and lower case); or the file is unreadable.
    """
    for number, label in enumerate(given, start=1):
        if not label.strip():
            raise InputError(f"label {number} of {len(given)} is empty; give every label a text.")
    is_file = len(given) == 1 and given[0].endswith(".txt")
    names = read_class_names(given[0] if is_file else given)
    labels = tuple(" ".join(name.split()) for name in names)
    if len(labels) < 2:
        raise InputError(f"{labels[0]!r} is the only label, which would fit every image; give two or more.")
    counts = Counter(label.lower() for label in labels)
    repeated = [label for label in labels if counts[label.lower()] > 1]
    if repeated:
        repeated_names = ", ".join(repr(label) for label in dict.fromkeys(repeated))
        raise InputError(
            f"labels given more than once: {repeated_names}; give each one once, or its probability is divided."
        )
    return labels


@contextmanager
def _score_files(folder: Path, labels: Sequence[str]) -> Iterator[Callable[[Path, Sequence[LabelScore]], None]]:
    """Open scores.jsonl and scores.csv in `folder`, replacing older ones.

    Yields:
        A function that adds an image path with the scores of all labels, best first, to both files.
    """
    with json_lines(folder / "scores.jsonl") as write_line, whole_records(folder / "scores.csv") as write_row:
        write_row(csv_row(["image", "best", *labels]))

        def write(path: Path, scores: Sequence[LabelScore]) -> None:
            records = []
            for score in scores:
                records.append(
                    {
                        "label": score.label,
                        "probability": round(score.probability, 6),
                        "similarity": round(score.similarity, 6),
                    }
                )
            write_line({"image": str(path), "labels": records})
            in_label_order = sorted(scores, key=lambda score: score.label_index)
            write_row(csv_row([str(path), scores[0].label, *(round(score.probability, 6) for score in in_label_order)]))

        yield write


def _shorten(label: str) -> str:
    return label if len(label) <= LABEL_WIDTH else f"{label[: LABEL_WIDTH - 1]}…"
