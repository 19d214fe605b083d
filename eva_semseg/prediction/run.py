"""Segment many pictures: what fails is named and counted, the rest goes on, what is finished stays."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from detectron2_ext.atomic import atomic_path
from detectron2_ext.prediction import read_image
from detectron2_ext.prediction.images import save_image
from detectron2_ext.prediction.inputs import Input
from eva_backbone.errors import InputError

from .drawing import add_legend, class_shares, draw_labels
from .predictor import SegmentationPredictor


@dataclass
class Summary:
    """Counts of a run; ``failures`` holds one sentence each."""

    num_images: int = 0
    failures: list[str] = field(default_factory=list)


def segment_files(
    predictor: SegmentationPredictor,
    inputs: Sequence[Input],
    output: str | Path,
    report: Callable[[str], None] = lambda text: tqdm.write(text, file=sys.stderr),
) -> Summary:
    """Write ``<stem>.jpg`` (the picture in colours, with a legend), ``<stem>_labels.png`` (class numbers) and
    ``<stem>.json`` (the share of each class) for every picture below ``output``.

    Args:
        predictor: the model.
        inputs: pictures from `detectron2_ext.prediction.list_inputs`.
        output: folder, made where missing; older results of the same names are replaced.
        report: is handed each failure when it happens.

    Raises:
        InputError: ``output`` cannot be made.
    """
    try:
        Path(output).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{output}: no folder for the results ({error.strerror}): give another --output.") from error
    summary = Summary()
    for item in tqdm(inputs, desc="segment", unit="image"):
        try:
            image = read_image(item.path)
            _save(image, predictor(image), predictor.class_names, item.path, Path(output, item.stem))
        except InputError as error:
            message = str(error) if str(item.path) in str(error) else f"{item.path}: {error}"
            summary.failures.append(message)
            report(f"failed: {message}")
        else:
            summary.num_images += 1
    return summary


def _save(image: np.ndarray, labels: np.ndarray, class_names: Sequence[str], source: Path, target: Path) -> None:
    shares = class_shares(labels)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Path.with_suffix would cut "scan.v2" to "scan".
    picture = add_legend(draw_labels(image, labels), shares, class_names)
    save_image(picture, target.with_name(f"{target.name}.jpg"))
    with atomic_path(target.with_name(f"{target.name}_labels.png")) as partial:
        Image.fromarray(labels).save(partial, format="PNG")
    record = {
        "image": str(source),
        "height": image.shape[0],
        "width": image.shape[1],
        "classes": [
            {"class": number, "name": class_names[number], "share": round(share, 6)} for number, share in shares.items()
        ],
    }
    with atomic_path(target.with_name(f"{target.name}.json")) as partial:
        partial.write_text(json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1), encoding="utf-8")
