"""The confusion matrix of detections, with images of its cells."""

from collections import defaultdict

import numpy as np

from eva_engine.report.confusion import confusion_parts
from eva_engine.report.sections import Section

from .error_images import Example, draw_examples
from .explained import Explained

MAX_CELLS = 16
IMAGES_PER_CELL = 3

Cell = tuple[int, int]  # true and predicted class index; the number of classes stands for none


def confusion_section(explained: Explained, threshold: float) -> Section:
    """Return hotcoco's confusion matrix at IoU 0.5 of the detections that count and have at least the threshold."""
    diagnosis = explained.diagnosis
    matrix = diagnosis.confusion_matrix(threshold)
    num_classes = len(explained.names)
    errors = matrix.copy()
    errors[np.arange(num_classes), np.arange(num_classes)] = 0
    order = np.argsort(-errors, axis=None, kind="stable")
    examples = _examples(explained, threshold)
    chosen: dict[Cell, list[Example]] = {}
    for row, column in zip(*np.unravel_index(order[: 4 * MAX_CELLS], errors.shape), strict=True):
        cell = int(row), int(column)
        if errors[cell] and examples[cell] and len(chosen) < MAX_CELLS:
            chosen[cell] = examples[cell]
    parts = confusion_parts(
        matrix,
        explained.names,
        unit="objects",
        none_row="nothing there",
        none_column="not found",
        examples=draw_examples(explained, chosen, matrix),
        note=f"An object and a detection of any class belong together if their IoU is at least 0.5; detections have a "
        f"score of at least {threshold:.2f}.",
    )
    return Section("Confusions", parts)


def _examples(explained: Explained, threshold: float) -> defaultdict[Cell, list[Example]]:
    """Return errors by cell, those with the highest scores first."""
    diagnosis, none = explained.diagnosis, len(explained.names)
    images, annotations, results = diagnosis.images, diagnosis.truth.annotations, diagnosis.results
    examples: defaultdict[Cell, list[Example]] = defaultdict(list)
    confused, mistaken = set(), set()

    def add(cell: Cell, number: int, detection: dict | None, annotation: dict | None) -> None:
        if number in explained.files and len(examples[cell]) < IMAGES_PER_CELL:
            examples[cell].append(Example(number, detection, annotation))

    for error in images["label_errors"]:
        if error["type"] == "wrong_label" and error["dt_score"] >= threshold:
            annotation = annotations[error["gt_id"] - 1]
            confused.add(error["dt_id"])
            mistaken.add(error["gt_id"])
            cell = error["gt_category_id"] - 1, error["dt_category_id"] - 1
            add(cell, error["image_id"], results[error["dt_id"] - 1], annotation)
    wrong = diagnosis.counted[~diagnosis.is_right & (diagnosis.scores >= threshold)]
    for index in sorted(wrong.tolist(), key=lambda index: -results[index]["score"]):
        if index + 1 not in confused:
            add((none, results[index]["category_id"] - 1), results[index]["image_id"], results[index], None)
    for key in images["gt_status"]:
        match = images["gt_match"].get(key)
        found = match is not None and results[match - 1]["score"] >= threshold
        if not found and key not in mistaken:
            annotation = annotations[key - 1]
            add((annotation["category_id"] - 1, none), annotation["image_id"], None, annotation)
    return examples
