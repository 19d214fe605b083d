"""Explain an evaluation of detections: thresholds, classes, kinds of errors, sizes, images."""

from typing import Any

import numpy as np

from eva_engine.report.calibration import reliability_chart
from eva_engine.report.sections import Cell, Chart, ImageGrid, Line, Section, Table

from ..evaluation.diagnosis import Diagnosis
from ..evaluation.precision_recall import AREA_RANGES
from ..evaluation.score_thresholds import DEFAULT, THRESHOLDS, ThresholdCounts
from .detection_confusion import confusion_section
from .error_images import draw_worst_images
from .explained import Explained

MAX_CURVES = 8
MAX_LISTED_IMAGES = 200
_ERRORS = {
    "Cls": "wrong class, box right",
    "Loc": "right class, box overlaps by 0.1 to 0.5",
    "Both": "wrong class, box overlaps by 0.1 to 0.5",
    "Dupe": "second detection of an object",
    "Bkg": "nothing there",
    "Miss": "object not found",
}
_RECALL = np.linspace(0, 1, 101)


def explain_detections(explained: Explained) -> list[Section]:
    """Return the sections of the page about an evaluation; their numbers are those of hotcoco."""
    counts = explained.diagnosis.counts()
    best = counts.best()
    index = DEFAULT if best is None else best
    threshold = float(THRESHOLDS[index])
    return [
        _threshold_section(explained, counts, best),
        _class_section(explained, counts, index),
        _error_section(explained.diagnosis),
        confusion_section(explained, threshold),
        _image_section(explained, threshold),
    ]


def _threshold_section(explained: Explained, counts: ThresholdCounts, best: int | None) -> Section:
    pooled, mean_f1 = counts.pooled(), counts.mean_f1()
    precision, recall = pooled.precision()[0], pooled.recall()[0]
    rows: list[list[Cell]] = []
    for index, name in ((best, "suggested"), (DEFAULT, "default of predict")):
        if index is not None:
            figures = precision[index], recall[index], pooled.f1()[0, index], mean_f1[index]
            rows.append([name, float(THRESHOLDS[index]), *map(float, figures)])
    if best is None:
        note = "No detection is right, so no score threshold can be suggested."
    else:
        note = (
            f"A score threshold of {THRESHOLDS[best]:.2f} gives the best mean F1 of the classes: precision "
            f"{precision[best]:.2f}, recall {recall[best]:.2f} (use it with predict --score-threshold "
            f"{THRESHOLDS[best]:.2f}). {_at_default(precision, recall)}"
        )
    columns = {
        "": "",
        "threshold": ".2f",
        "precision": ".3f",
        "recall": ".3f",
        "F1": ".3f",
        "mean F1 of classes": ".3f",
    }
    lines = [
        Line("precision", THRESHOLDS.tolist(), precision.tolist()),
        Line("recall", THRESHOLDS.tolist(), recall.tolist()),
        Line("mean F1 of the classes", THRESHOLDS.tolist(), mean_f1.tolist()),
    ]
    calibration = explained.diagnosis.evaluation.calibration(n_bins=10, iou_threshold=0.5)
    return Section(
        "Score threshold",
        [
            Table("", columns, rows, "Precision, recall and F1 are over all objects, at IoU 0.5."),
            Chart("Precision and recall by score threshold", "score threshold", "fraction", lines),
            reliability_chart(calibration["bins"], calibration["ece"], "detections"),
        ],
        note,
    )


def _at_default(precision: np.ndarray, recall: np.ndarray) -> str:
    if np.isnan(precision[DEFAULT]):
        return "No detection has a score of 0.5, the default."
    return f"At 0.5, the default, precision is {precision[DEFAULT]:.2f} and recall {recall[DEFAULT]:.2f}."


def _class_section(explained: Explained, counts: ThresholdCounts, index: int) -> Section:
    curves = explained.diagnosis.curves
    precision, recall, f1 = counts.precision(), counts.recall(), counts.f1()
    rows: list[list[Any]] = []
    colors = []
    for category, name in enumerate(explained.names):
        if not counts.objects[category] and not counts.wrong[category, 0]:
            continue  # neither objects nor detections
        best_f1 = best_threshold = None
        if counts.objects[category]:
            best = int(f1[category].argmax())
            best_f1 = float(f1[category, best])
            if best_f1 > 0:
                best_threshold = float(THRESHOLDS[best])
        row = [name, int(counts.objects[category]), *curves.category_metrics(category).values()]
        if explained.mask_ap:
            row.append(explained.mask_ap.get(name))
        for at in (index, DEFAULT):
            row += [float(precision[category, at]), float(recall[category, at])]
        rows.append([*row, best_f1, best_threshold])
        colors.append(category)
    order = sorted(range(len(rows)), key=lambda row: -rows[row][1])
    chosen = f"{THRESHOLDS[index]:.2f}"
    names = ["class", "objects", "AP", "AP50"] + ["mask AP"] * bool(explained.mask_ap)
    columns = dict.fromkeys(names[:2], "") | dict.fromkeys(names[2:], ".1f")
    for text in dict.fromkeys((chosen, "0.50")):
        columns |= {f"precision at {text}": ".2f", f"recall at {text}": ".2f"}
    columns |= {"best F1": ".2f", "best threshold": ".2f"}
    if chosen == "0.50":
        skipped = len(names) + 2
        rows = [row[:skipped] + row[skipped + 2 :] for row in rows]
    table = Table(
        "",
        columns,
        [rows[row] for row in order],
        "AP in percent; precision, recall and F1 at IoU 0.5. Click a heading to sort.",
        [colors[row] for row in order],
        bar="AP",
    )
    return Section("Classes", [table, *_precision_recall_charts(explained, counts.objects)])


def _precision_recall_charts(explained: Explained, objects: np.ndarray) -> list[Chart]:
    precision = explained.diagnosis.curves.precision[:, :, :, 0, -1]
    with_objects = np.flatnonzero(precision[0, 0] > -1)
    x = _RECALL.tolist()
    mean = []
    if len(with_objects):
        for row, iou in ((0, 0.5), (5, 0.75), (8, 0.9)):
            mean.append(Line(f"IoU {iou:.2f}", x, precision[row][:, with_objects].mean(1).tolist()))
    charts = [Chart("Precision over recall", "recall", "precision", mean, "Mean of the classes.")]
    if len(with_objects) > 1:
        frequent = with_objects[np.argsort(-objects[with_objects], kind="stable")][:MAX_CURVES]
        lines = [Line(explained.names[k], x, precision[0, :, k].tolist(), color=int(k)) for k in frequent]
        note = "At IoU 0.5."
        if len(with_objects) > MAX_CURVES:
            note = f"At IoU 0.5, of the {MAX_CURVES} most frequent classes."
        charts.append(Chart("Precision over recall of classes", "recall", "precision", lines, note))
    return charts


def _error_section(diagnosis: Diagnosis) -> Section:
    errors = diagnosis.evaluation.tide_errors(pos_thr=0.5, bg_thr=0.1)
    total = sum(errors["counts"].values())
    rows: list[list[Any]] = []
    for name, description in _ERRORS.items():
        count = errors["counts"][name]
        share = 100 * count / total if total else None
        rows.append([description, count, share, 100 * errors["delta_ap"][name]])
    rows.sort(key=lambda row: -row[3])
    kinds = Table(
        "Kinds of errors",
        {"error": "", "number": "", "% of errors": ".1f", "AP50 without them": "+.1f"},
        rows,
        "How much AP50 would rise if only this kind of error was corrected (TIDE, Bolya et al. 2020), over detections "
        "of any score.",
        bar="AP50 without them",
    )
    return Section("Errors", [kinds, _size_table(diagnosis), _image_ap_table(diagnosis)])


def _size_table(diagnosis: Diagnosis) -> Table:
    truth, curves = diagnosis.truth, diagnosis.curves
    areas = np.array([truth.annotations[key - 1]["area"] for key in diagnosis.images["gt_status"]], dtype=np.float64)
    limits = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}
    rows: list[list[Any]] = []
    for name in AREA_RANGES[1:]:
        low, high = limits[name]
        recall = curves.recall[:, :, AREA_RANGES.index(name), -1]
        measured = recall[recall > -1]
        average_recall = 100 * float(measured.mean()) if measured.size else None
        number = int(((low <= areas) & (areas <= high)).sum())
        rows.append([name, number, 100 * curves.average_precision(area=name), average_recall])
    note = "Small objects have up to 32 x 32 pixels, large ones at least 96 x 96."
    return Table("Sizes", {"size": "", "objects": "", "AP": ".1f", "AR": ".1f"}, rows, note, bar="AP")


def _image_ap_table(diagnosis: Diagnosis) -> Table:
    values = [100 * record["ap"] for record in diagnosis.images["img_summary"].values() if record["ap"] >= 0]
    numbers, edges = np.histogram(values, bins=10, range=(0, 100))
    rows: list[list[Cell]] = []
    for low, high, number in zip(edges[:-1], edges[1:], numbers, strict=True):
        rows.append([f"{low:.0f} to {high:.0f}", int(number)])
    note = f"AP50 of each image, in percent; the median is {np.median(values):.1f}." if values else ""
    return Table("Images by their AP", {"AP50": "", "images": ""}, rows, note, bar="images")


def _image_section(explained: Explained, threshold: float) -> Section:
    """Draw the images with the lowest F1, and list more of them."""
    counts = explained.diagnosis.image_counts(threshold)
    f1 = {}
    for number, (right, wrong, missed) in counts.items():
        if wrong + missed:
            f1[number] = 2 * right / (2 * right + wrong + missed)
    order = sorted(f1, key=lambda number: (f1[number], -counts[number][1] - counts[number][2]))
    summary = explained.diagnosis.images["img_summary"]
    rows: list[list[Any]] = []
    for number in order[:MAX_LISTED_IMAGES]:
        ap = summary[number]["ap"] if number in summary else -1
        name = explained.image_name(number)
        rows.append([name, *counts[number], f1[number], 100 * ap if ap >= 0 else None])
    columns = {"image": "", "right": "", "wrong": "", "missed": "", "F1": ".2f", "AP50": ".1f"}
    title = "Images with errors" + (
        f", the first {MAX_LISTED_IMAGES} of {len(order)}" if len(order) > len(rows) else ""
    )
    note = (
        f"The lowest F1 of detections with a score of at least {threshold:.2f} at IoU 0.5; of equal ones, the most "
        "errors."
    )
    figures = draw_worst_images(explained, order, counts, threshold)
    return Section("Worst images", [ImageGrid("", figures), Table(title, columns, rows)], note)
