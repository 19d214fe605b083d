"""Explain an evaluation of a classifier of images or videos: classes, confusions, calibration, worst samples."""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from hotcoco import metrics
from omegaconf import DictConfig

from eva_backbone.errors import InputError
from eva_engine.data.image_file import read_image
from eva_engine.prediction.categories import match_names
from eva_engine.report.calibration import reliability_chart
from eva_engine.report.confusion import confusion_parts
from eva_engine.report.sections import ImageFigure, ImageGrid, Section, Table, encode_image

from ..prediction.class_names import find_class_names

logger = logging.getLogger(__name__)

NUM_IMAGES = 24
MAX_CELLS = 16
IMAGES_PER_CELL = 3
MAX_SIDE, CELL_SIDE = 480, 200  # pixels on the page

# Draws samples by their file names; it may leave some out.
Draw = Callable[[Collection[str]], Mapping[str, np.ndarray]]


def class_names(cfg: DictConfig, num_classes: int, dataset: object) -> tuple[str, ...]:
    """Return a name for each class, as in the recipe, or as in the dataset, or "class 0" and so on."""
    unnamed = match_names(None, num_classes, "the recipe")
    try:
        names = find_class_names(cfg, num_classes)
    except InputError:
        names = unnamed
    if names != unnamed:
        return names
    by_index = {index: name for name, index in getattr(dataset, "class_numbers", {}).items()}
    return tuple(by_index.get(index, name) for index, name in enumerate(unnamed))


def draw_images(dataset: Sequence[Mapping[str, Any]], files: Collection[str]) -> dict[str, np.ndarray]:
    """Return images [H, W, 3] uint8 of a dataset by their file names.

    Args:
        dataset: Records with "file_name" and "read", as those of `ImageDataset`.
        files: File names of the images.
    """
    images: dict[str, np.ndarray] = {}
    for index in range(len(dataset)):
        if len(images) == len(files):
            break
        record = dataset[index]
        name = record["file_name"]
        if name in files and name not in images:
            file, _ = record["read"]()
            with file:
                images[name] = np.asarray(read_image(file, name))
    return images


def explain_samples(samples: Sequence[Mapping[str, Any]], names: Sequence[str], draw: Draw, unit: str) -> list[Section]:
    """Return the sections of the page about an evaluation.

    Args:
        samples: Records of `score_sample`.
        names: Names of the classes.
        draw: Draws some samples.
        unit: What the samples are, such as "images".
    """
    true = [sample["true"] for sample in samples]
    predicted = [sample["predicted"] for sample in samples]
    counts = metrics.confusion_matrix(true, predicted, len(names))[: len(names), : len(names)].astype(np.int64)
    wrong = [sample for sample in samples if sample["true"] != sample["predicted"]]
    wrong.sort(key=lambda sample: -sample["score"])
    cells = _examples(wrong, counts)
    worst = wrong[:NUM_IMAGES]
    files = {sample["file"] for sample in chain(worst, *cells.values())}
    drawn = draw(files)
    examples = {cell: _cell_figure(cell, cells[cell], counts, names, drawn) for cell in cells}
    note = f"{len(wrong)} of {len(samples)} {unit} are wrong."
    return [
        Section("Classes", [_class_table(counts, names, unit), _calibration(samples, unit)], note),
        Section("Confusions", confusion_parts(counts, names, unit=unit, examples=examples)),
        Section(
            f"Worst {unit}",
            [ImageGrid("", [_worst_figure(sample, names, drawn[sample["file"]]) for sample in worst])],
            f"Wrong {unit} with the highest scores." if wrong else f"No {unit} are wrong.",
        ),
    ]


def _class_table(counts: np.ndarray, names: Sequence[str], unit: str) -> Table:
    rows: list[list[Any]] = []
    colors = []
    for index, name in enumerate(names):
        right, number, predictions = counts[index, index], counts[index].sum(), counts[:, index].sum()
        if not number + predictions:
            continue
        precision = float(right / predictions) if predictions else None
        recall = float(right / number) if number else None
        rows.append([name, int(number), precision, recall, float(2 * right / (number + predictions))])
        colors.append(index)
    columns = {"class": "", unit: "", "precision": ".3f", "recall": ".3f", "F1": ".3f"}
    order = sorted(range(len(rows)), key=lambda row: rows[row][4])
    note = "The lowest F1 first; recall is the accuracy within a class. Click a heading to sort."
    return Table("", columns, [rows[row] for row in order], note, [colors[row] for row in order], bar="F1")


def _calibration(samples: Sequence[Mapping[str, Any]], unit: str) -> Any:
    scores = np.array([sample["score"] for sample in samples])
    is_right = np.array([sample["true"] == sample["predicted"] for sample in samples])
    error, _ = metrics.calibration_error(scores, is_right, 10)
    return reliability_chart(metrics.calibration_curve(scores, is_right, 10), error, unit)


def _examples(wrong: Sequence[Mapping[str, Any]], counts: np.ndarray) -> dict[tuple[int, int], list[Mapping[str, Any]]]:
    """Return wrong samples of the most frequent errors, by true and predicted class."""
    by_cell = defaultdict(list)
    for sample in wrong:
        by_cell[sample["true"], sample["predicted"]].append(sample)
    order = sorted(by_cell, key=lambda cell: -counts[cell])
    return {cell: by_cell[cell][:IMAGES_PER_CELL] for cell in order[:MAX_CELLS]}


def _cell_figure(
    cell: tuple[int, int],
    samples: Sequence[Mapping[str, Any]],
    counts: np.ndarray,
    names: Sequence[str],
    drawn: Mapping[str, np.ndarray],
) -> ImageFigure:
    images = []
    for sample in samples:
        label = f"{sample['score']:.0%} {Path(sample['file']).name}"
        images.append((label, encode_image(drawn[sample["file"]], CELL_SIDE)))
    return ImageFigure(f"{names[cell[0]]} taken for {names[cell[1]]}: {counts[cell]}", images)


def _worst_figure(sample: Mapping[str, Any], names: Sequence[str], image: np.ndarray) -> ImageFigure:
    caption = (
        f"{names[sample['true']]}, predicted {names[sample['predicted']]} with {sample['score']:.0%} "
        f"({names[sample['true']]} {sample['true_score']:.0%}): {Path(sample['file']).name}"
    )
    return ImageFigure(caption, [("", encode_image(image, MAX_SIDE))])
