"""Zero-shot classification by labels of one's own for the verb `predict`."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from eva_engine.prediction import FileTask, Input, read_image
from eva_engine.prediction.file_task import tell

from ..evaluation import read_templates
from .contact_sheet import ContactSheets, fit_to_sheet, undrawable_labels
from .labels import read_labels
from .model_source import load_model
from .predictor import LabelPredictor
from .score_files import score_writer

LABEL_WIDTH, PATH_WIDTH = 40, 60  # letters of the printed table


class Picture(NamedTuple):
    """A picture as the model takes it, [3, S, S], and small enough for a contact sheet."""

    pixels: Tensor
    thumbnail: Image.Image


class Task(FileTask[Picture]):
    """Tells which labels fit each picture best, as a table, and writes and draws them.

    ``scores.jsonl``: {"image": path, "labels": [{"label", "probability", "similarity"}, ...]} for each picture, best
    first; ``scores.csv``: a row per picture and a column with the probability of each label; ``contact_sheet*.png``.

    Args:
        cfg, weights: see :func:`load_model`.
        device: see :class:`LabelPredictor`.
        labels: two or more, or a text file with one a line; see :func:`read_labels`.
        templates: sentences with {} in the place of the label, or one source of them; see `read_templates`.
        top: labels told of each picture and drawn under it.
        batch_size: pictures that the model gets at once.
        dtype: of the weights, by its name in torch.
    """

    def __init__(
        self,
        cfg: Any,
        weights: str | Path,
        device: str = "auto",
        *,
        labels: Sequence[str],
        templates: Sequence[str] = ("a photo of {}.",),
        top: int = 5,
        batch_size: int = 16,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.labels = read_labels(labels)
        sentences = read_templates(templates[0] if len(templates) == 1 else templates)
        model, transform = load_model(cfg, weights, getattr(torch, dtype))
        self.predictor = LabelPredictor(model, transform, self.labels, sentences, device)
        self.top = top
        self.batch_size = batch_size
        if self.predictor.cut:
            names = ", ".join(repr(label if len(label) <= 60 else f"{label[:60]}...") for label in self.predictor.cut)
            print(
                f"cut to the {self.predictor.context_length} tokens that the model reads: {len(self.predictor.cut)} of "
                f"{len(self.labels)} labels ({names})",
                file=sys.stderr,
            )

    def open(self, stack: ExitStack) -> None:
        """Start empty files of scores and remove old contact sheets; the last sheet is written when `stack` ends."""
        self.path_width = min(PATH_WIDTH, max(len(str(item.path)) for item in self.inputs))
        self.write = stack.enter_context(score_writer(self.folder, self.labels))
        self.sheets = stack.enter_context(ContactSheets(self.folder, len(self.inputs), self.top))

    def read(self, item: Input) -> Picture:
        """A picture, prepared and shrunk."""
        image = read_image(item.path)
        return Picture(self.predictor.prepare(image), fit_to_sheet(Image.fromarray(image)))

    def predict(self, batch: Sequence[tuple[Input, Picture]]) -> None:
        """Score pictures in one pass of the model."""
        found = self.predictor(torch.stack([picture.pixels for _, picture in batch]))
        for (item, picture), matches in zip(batch, found, strict=True):
            best = "  ".join(f"{_shorten(match.label)} {match.probability:.1%}" for match in matches[: self.top])
            tell(f"{item.path!s:<{self.path_width}}  {best}")
            self.write(item.path, matches)
            self.sheets.add(item.path, picture.thumbnail, matches)

    def notes(self) -> list[str]:
        """Where the contact sheets are, and which labels no font could write there."""
        if not self.sheets.files:
            return []
        by_number = [f"label {number} is {self.labels[number - 1]!r}" for number in undrawable_labels(self.labels)]
        undrawn = [f"drawn by number, as no font here has their letters: {', '.join(by_number)}"] if by_number else []
        return [f"contact sheets: {', '.join(map(str, self.sheets.files))}", *undrawn]


def _shorten(label: str) -> str:
    return label if len(label) <= LABEL_WIDTH else f"{label[: LABEL_WIDTH - 1]}…"
