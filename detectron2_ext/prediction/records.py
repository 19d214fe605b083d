"""Detections as JSON: one document beside each picture, one with a line per frame beside each video."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from detectron2.structures import BoxMode, Instances

from eva_engine.atomic import atomic_path
from eva_engine.prediction.categories import Categories
from eva_engine.prediction.json_text import to_json

BOX_FORMAT = "[x, y, width, height] in pixels of the displayed picture, from its top left corner"


def detection_records(instances: Instances, categories: Categories) -> list[dict[str, Any]]:
    """Detections in COCO's terms, in the order of ``instances``.

    Args:
        instances: as :class:`Predictor` returns them.
        categories: gives each class index its name and its id in the data set.

    Returns:
        One dict each: ``category_id`` and ``category``, ``score`` 0..1, ``bbox`` (see ``BOX_FORMAT``) and, from a model
        with a mask head, ``segmentation``: COCO's compressed run lengths.
    """
    boxes = BoxMode.convert(instances.pred_boxes.tensor.cpu(), BoxMode.XYXY_ABS, BoxMode.XYWH_ABS).tolist()
    classes, scores = instances.pred_classes.tolist(), instances.scores.tolist()
    records = [
        {
            "category_id": categories.ids[index],
            "category": categories.names[index],
            "score": round(score, 6),
            "bbox": [round(value, 3) for value in box],
        }
        for index, score, box in zip(classes, scores, boxes, strict=True)
    ]
    if instances.has("pred_masks_rle"):
        for record, rle in zip(records, instances.pred_masks_rle, strict=True):
            record["segmentation"] = {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")}
    return records


def save_image_record(path: Path, source: Path, instances: Instances, categories: Categories, threshold: float) -> None:
    """Write the detections of one picture; ``path`` appears only when complete."""
    height, width = instances.image_size
    document = {"image": str(source), "width": width, "height": height, **_conventions(threshold)}
    document["detections"] = detection_records(instances, categories)
    with atomic_path(path) as partial:
        partial.write_text(to_json(document) + "\n", encoding="utf-8")


class VideoRecord:
    """The JSON document of a video, written frame by frame so that its length costs no memory.

    Every frame is one line, hence the file can also be read line by line.
    """

    def __init__(self, stream: Any, source: Path, width: int, height: int, threshold: float, categories: Categories):
        self.stream = stream
        self.categories = categories
        self.num_frames = 0
        head = {"video": str(source), "width": width, "height": height, **_conventions(threshold)}
        self.stream.write(to_json(head)[:-1] + ', "frames": [')

    def add(self, time: float, instances: Instances) -> None:
        """Append the next frame, shown at ``time`` seconds."""
        detections = detection_records(instances, self.categories)
        line = {"frame": self.num_frames, "time": round(time, 6), "detections": detections}
        self.stream.write((",\n" if self.num_frames else "\n") + to_json(line))
        self.num_frames += 1

    def close(self, problem: str | None) -> None:
        """End the document; ``problem`` says why frames may be missing."""
        tail = {"num_frames": self.num_frames, "complete": problem is None, "problem": problem}
        self.stream.write("\n], " + to_json(tail)[1:] + "\n")


@contextmanager
def video_record(path: Path, *args: Any) -> Iterator[VideoRecord]:
    """A :class:`VideoRecord` (with its remaining arguments) at ``path``, which appears when the block ends."""
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8") as stream:
        yield VideoRecord(stream, *args)


def _conventions(threshold: float) -> dict[str, Any]:
    return {"box_format": BOX_FORMAT, "score_threshold": threshold}
