"""Zero-shot classification by free-text labels for the command `predict`."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from eva_engine.prediction import FrameFileTask, Input
from eva_engine.prediction.file_task import print_result
from eva_engine.prediction.json_text import json_lines, whole_records
from eva_engine.prediction.predictor import ImageSample
from eva_engine.safe_text import csv_row

from .contact_sheet import ContactSheets, make_thumbnail, undrawable_labels
from .predictor import LabelPredictor
from .result import TextScoreResult

LABEL_WIDTH, PATH_WIDTH = 40, 60  # characters in the printed table


class ClipFileTask(FrameFileTask):
    """Print the best labels of each image as a table, write the scores and draw contact sheets.

    ``scores.jsonl`` has a line {"image": path, "labels": [{"label", "probability", "similarity"}, ...]} for each image,
    best label first; ``scores.csv`` has a row for each image and a column with the probability of each label;
    ``contact_sheet*.png`` show the images with their best labels. For every video, `<stem>.json` has a line with
    "labels" for each frame.

    Args:
        predictor: The predictor, with labels.
        max_frames: Number of frames to process from the beginning of each video; None for all.
        frame_stride: Only the first of every `frame_stride` frames of a video is processed and written.
        no_images: Draw no contact sheets.
    """

    frame_key = "labels"
    collects_images = True  # thumbnails
    predictor: LabelPredictor
    sheets: ContactSheets | None = None

    def __init__(
        self,
        predictor: LabelPredictor,
        *,
        max_frames: int | None = None,
        frame_stride: int = 1,
        no_images: bool = False,
    ) -> None:
        super().__init__(predictor, max_frames=max_frames, frame_stride=frame_stride)
        self.no_images = no_images

    def open(self, stack: ExitStack) -> None:
        """Create the score files and remove old contact sheets; closing `stack` writes the last sheet."""
        super().open(stack)
        _report_cut_labels(self.predictor)
        self.path_width = min(PATH_WIDTH, max((len(item.name) for item in self.inputs), default=0))
        self.write_scores = stack.enter_context(_score_files(self.folder, self.predictor.labels))
        if not self.no_images:
            num_images = sum(item.kind == "image" for item in self.inputs)
            self.sheets = stack.enter_context(ContactSheets(self.folder, num_images, self.predictor.top))

    def read(self, item: Input) -> ImageSample:
        """Read an image, and keep the model's input and a thumbnail for the contact sheet."""
        sample = self.predictor.read(item)
        thumbnail = None if self.no_images else make_thumbnail(np.asarray(sample.image))
        return sample._replace(image=thumbnail)

    def collect(self, item: Input, result: TextScoreResult) -> None:
        """Print, write and draw the scores of an image."""
        shown = []
        for record in result.records()[: result.top]:
            shown.append(f"{_shorten(record['label'])} {record['probability']:.1%}")
        print_result(f"{item.name:<{self.path_width}}  {'  '.join(shown)}")
        self.write_scores(result)
        if self.sheets is not None:
            self.sheets.add(item.path, result)

    def notes(self) -> list[str]:
        """Return the paths of the contact sheets, and the labels that no font could draw there."""
        notes = super().notes()
        if self.sheets is None or not self.sheets.files:
            return notes
        notes = [*notes, f"contact sheets: {', '.join(str(file) for file in self.sheets.files)}"]
        undrawable = undrawable_labels(self.predictor.labels)
        if undrawable:
            labels = ", ".join(f"label {number} is {self.predictor.labels[number - 1]!r}" for number in undrawable)
            notes.append(f"drawn by number, as no font here has their letters: {labels}")
        return notes


def _report_cut_labels(predictor: LabelPredictor) -> None:
    if not predictor.cut_labels:
        return
    shown = []
    for label in predictor.cut_labels:
        shown.append(repr(label if len(label) <= 60 else f"{label[:60]}..."))
    names = ", ".join(shown)
    print(
        f"cut to the {predictor.context_length} tokens that the model reads: {len(predictor.cut_labels)} of "
        f"{len(predictor.labels)} labels ({names})",
        file=sys.stderr,
    )


@contextmanager
def _score_files(folder: Path, labels: Sequence[str]) -> Iterator[Callable[[TextScoreResult], None]]:
    """Open scores.jsonl and scores.csv in `folder`, replacing older ones.

    Yields:
        A function that adds the result of an image to both files.
    """
    with json_lines(folder / "scores.jsonl") as write_line, whole_records(folder / "scores.csv") as write_row:
        write_row(csv_row(["image", "best", *labels]))

        def write(result: TextScoreResult) -> None:
            write_line(result.to_dict())
            probabilities = result.scores[np.argsort(result.class_ids)].tolist()  # in the order of the labels
            best = labels[result.class_ids[0]]
            write_row(csv_row([result.path, best, *(round(probability, 6) for probability in probabilities)]))

        yield write


def _shorten(label: str) -> str:
    return label if len(label) <= LABEL_WIDTH else f"{label[: LABEL_WIDTH - 1]}…"
