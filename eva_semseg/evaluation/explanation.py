"""Explain an evaluation of label maps: classes, confusions, and the images with the most wrong pixels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hotcoco import metrics

from eva_engine.data.image_file import read_rgb_image
from eva_engine.report.confusion import confusion_parts
from eva_engine.report.sections import ImageFigure, ImageGrid, Section, Table, encode_image

from ..data.label_file import read_labels
from ..prediction.drawing import draw_labels
from ..segmentation_targets import IGNORE_LABEL
from .worst_images import NUM_WORST

MAX_SIDE = 520
_WRONG, _UNLABELLED = (214, 39, 40), (0, 0, 0)


def explain_segmentation(
    counts: np.ndarray,
    names: Sequence[str],
    worst: Sequence[Mapping[str, Any]],
    label_files: Mapping[str, str],
) -> list[Section]:
    """Return the sections of the page about an evaluation.

    Args:
        counts: Labelled pixels by true and predicted class, [K, K].
        names: Names of the classes.
        worst: Records of `WorstImages`, of all processes.
        label_files: Label file of each image.
    """
    accuracy = counts.trace() / counts.sum()
    ordered = sorted(worst, key=lambda record: record["accuracy"])[:NUM_WORST]
    figures = [_draw(record, label_files[record["file"]], len(names)) for record in ordered]
    return [
        Section("Classes", [_class_table(counts, names)], f"{accuracy:.1%} of the labelled pixels are right."),
        Section("Confusions", confusion_parts(counts, names, unit="pixels", as_percent=True)),
        Section(
            "Worst images",
            [ImageGrid("", figures)],
            "The lowest fraction of right pixels. In the error map, wrong pixels are red and unlabelled ones black.",
        ),
    ]


def _class_table(counts: np.ndarray, names: Sequence[str]) -> Table:
    measured = metrics.mean_iou(counts.astype(np.uint64))
    total, colors = counts.sum(), []
    rows: list[list[Any]] = []
    for index, name in enumerate(names):
        number, predicted = counts[index].sum(), counts[:, index].sum()
        if not number + predicted:
            continue
        precision = 100 * float(counts[index, index] / predicted) if predicted else None
        iou = 100 * float(measured["IoU"][index]) if number else None
        recall = 100 * float(measured["Acc"][index]) if number else None
        rows.append([name, 100 * float(number / total), iou, recall, precision])
        colors.append(index)
    order = sorted(range(len(rows)), key=lambda row: 101 if rows[row][2] is None else rows[row][2])
    columns = {"class": "", "% of pixels": ".2f", "IoU": ".1f", "accuracy": ".1f", "precision": ".1f"}
    note = "In percent, the lowest IoU first; the accuracy of a class is its recall. Click a heading to sort."
    return Table("", columns, [rows[row] for row in order], note, [colors[row] for row in order], bar="IoU")


def _draw(record: Mapping[str, Any], label_file: str, num_classes: int) -> ImageFigure:
    image = read_rgb_image(record["file"])
    prediction = record["prediction"].astype(np.int64)
    labels = read_labels(label_file, num_classes, image.shape[:2], record["label_values"])
    errors = (0.4 * image + 0.6 * 255).astype(np.uint8)
    errors[prediction != labels] = _WRONG
    errors[labels == IGNORE_LABEL] = _UNLABELLED
    drawn = {
        "Image": image,
        "Ground truth": draw_labels(image, labels),
        "Prediction": draw_labels(image, prediction),
        "Errors": errors,
    }
    caption = f"{Path(record['file']).name}: {record['accuracy']:.1%} of the labelled pixels are right"
    return ImageFigure(caption, [(label, encode_image(pixels, MAX_SIDE)) for label, pixels in drawn.items()], wide=True)
