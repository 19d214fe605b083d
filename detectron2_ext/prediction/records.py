"""Write detections as JSON: one document per image, and one document with a line per frame per video."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from detectron2.structures import BoxMode, Instances

from eva_engine.atomic import atomic_path
from eva_engine.prediction.categories import Categories
from eva_engine.prediction.json_text import to_json

BOX_FORMAT = "[x, y, width, height] in pixels of the displayed image, from its top left corner"


def detection_records(instances: Instances, categories: Categories) -> list[dict[str, Any]]:
    """Convert detections to records with COCO's keys, in the order of `instances`.

    Args:
        instances: Detections as `DetectionPredictor` returns them.
        categories: Name and dataset id of each class index.

    Returns:
        One dict per detection: `category_id` and `category`, `score` 0..1, `bbox` (see `BOX_FORMAT`) and, from a model
        with a mask head, `segmentation`, the compressed COCO RLE.
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
    """Write the detections of one image to `path`, which appears only when it is complete.

    Args:
        path: JSON file to write.
        source: The image file, named in the document.
        instances: Detections as `DetectionPredictor` returns them.
        categories: Name and dataset id of each class index.
        threshold: Score threshold of the detections, noted in the document.
    """
    height, width = instances.image_size
    document = {"image": str(source), "width": width, "height": height, **_conventions(threshold)}
    document["detections"] = detection_records(instances, categories)
    with atomic_path(path) as partial:
        partial.write_text(to_json(document) + "\n", encoding="utf-8")


class DetectionRecordWriter:
    """Write the JSON document of a video frame by frame, so that its length does not affect memory use.

    Every frame is one line, hence the file can also be read line by line.

    Args:
        stream: Text stream to write to.
        source: The video file, named in the document.
        width: Width of the frames, pixels.
        height: Height of the frames, pixels.
        threshold: Score threshold of the detections, noted in the document.
        categories: Name and dataset id of each class index.

    Attributes:
        num_frames: Frames written so far.
    """

    def __init__(
        self, stream: TextIO, source: Path, width: int, height: int, threshold: float, categories: Categories
    ) -> None:
        self.stream = stream
        self.categories = categories
        self.num_frames = 0
        header = {"video": str(source), "width": width, "height": height, **_conventions(threshold)}
        # The closing brace is left off: the list of frames and the summary follow in the same object.
        self.stream.write(to_json(header)[:-1] + ', "frames": [')

    def add(self, time: float, instances: Instances) -> None:
        """Append the next frame, shown at `time` seconds."""
        detections = detection_records(instances, self.categories)
        frame = {"frame": self.num_frames, "time": round(time, 6), "detections": detections}
        separator = ",\n" if self.num_frames else "\n"
        self.stream.write(separator + to_json(frame))
        self.num_frames += 1

    def close(self, problem: str | None) -> None:
        """End the document; `problem` is the reason why frames may be missing, None if the video is complete."""
        summary = {"num_frames": self.num_frames, "complete": problem is None, "problem": problem}
        self.stream.write("\n], " + to_json(summary)[1:] + "\n")


@contextmanager
def open_video_record(
    path: Path, source: Path, width: int, height: int, threshold: float, categories: Categories
) -> Iterator[DetectionRecordWriter]:
    """Open a `DetectionRecordWriter` for the file `path`, which appears when the block ends."""
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8") as stream:
        yield DetectionRecordWriter(stream, source, width, height, threshold, categories)


def _conventions(threshold: float) -> dict[str, Any]:
    return {"box_format": BOX_FORMAT, "score_threshold": threshold}
