"""The detections in one image, for people and for other tools."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.structures import Boxes, Instances

from eva_engine.prediction.result import Result, import_supervision

from .drawing import draw_instances

if TYPE_CHECKING:
    import pandas
    import supervision

BOX_FORMAT = "[x, y, width, height] in pixels of the displayed image, from its top left corner"


@dataclass(eq=False, repr=False, kw_only=True)
class DetectionResult(Result):
    """The objects that a detector finds in an image or video frame, best first.

    Attributes:
        size: (H, W) of the image in pixels.
        category_ids: Dataset id of each class of the model, such as COCO's 1 to 90; of as many entries as
            `class_names`.
        rles: Mask of each object as compressed COCO run lengths; None from a model without masks.
        track_ids: [N] int64, identity of each object in its video, from 1; 0 for an object without one. None if the
            objects were not tracked.
        score_threshold: Lowest score that the model was asked for.
    """

    size: tuple[int, int]
    category_ids: Sequence[int]
    class_ids: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    rles: list[dict[str, Any]] | None = None
    track_ids: np.ndarray | None = None
    score_threshold: float = 0.0

    @classmethod
    def from_instances(cls, instances: Instances, **attributes: Any) -> "DetectionResult":
        """Convert Detectron2's `Instances`, whose masks are in `pred_masks_rle`, if it has any."""
        return cls(
            size=instances.image_size,
            boxes=instances.pred_boxes.tensor.cpu().numpy(),
            scores=instances.scores.cpu().numpy(),
            class_ids=instances.pred_classes.cpu().numpy(),
            rles=instances.pred_masks_rle if instances.has("pred_masks_rle") else None,
            **attributes,
        )

    @property
    def masks(self) -> np.ndarray | None:
        """[N, H, W] bool, decoded at each call: a large image with many objects takes much memory; see `rles`."""
        if self.rles is None:
            return None
        masks = np.zeros((len(self.rles), *self.size), dtype=bool)
        for mask, rle in zip(masks, self.rles, strict=True):
            mask[:] = mask_util.decode(rle)
        return masks

    def __len__(self) -> int:
        """Return the number of objects."""
        return len(self.scores)

    def summary(self) -> str:
        """Return the number of objects of each class, such as "2 dog, 1 cat"."""
        counts = Counter(self.class_names[index] for index in self.class_ids.tolist())
        return ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "no objects"

    def records(self) -> list[dict[str, Any]]:
        """Return a dict per object with COCO's keys.

        They are `category_id` and `category`, `score` 0..1, `bbox` (see `BOX_FORMAT`) and, from a model with a mask
        head, `segmentation`, the compressed COCO RLE. Tracked objects have `track_id`, None for one without identity.
        """
        records = []
        for index, score, (x0, y0, x1, y1) in zip(
            self.class_ids.tolist(), self.scores.tolist(), self.boxes, strict=True
        ):
            box = [float(value) for value in (x0, y0, x1 - x0, y1 - y0)]
            records.append(
                {
                    "category_id": self.category_ids[index],
                    "category": self.class_names[index],
                    "score": round(score, 6),
                    "bbox": [round(value, 3) for value in box],
                }
            )
        if self.track_ids is not None:
            for record, track_id in zip(records, self.track_ids.tolist(), strict=True):
                record["track_id"] = track_id or None
        if self.rles is not None:
            for record, rle in zip(records, self.rles, strict=True):
                record["segmentation"] = {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")}
        return records

    def to_dict(self) -> dict[str, Any]:
        """Return the document that `predict` writes: image, size, conventions and `detections`, see `records`."""
        height, width = self.size
        document = {"image": self.path, "width": width, "height": height, "box_format": BOX_FORMAT}
        return {**document, "score_threshold": self.score_threshold, "detections": self.records()}

    def to_pandas(self) -> "pandas.DataFrame":
        """Return a table with a row per object and the columns of `records`, which an image without objects has, too.

        Raises:
            InputError: pandas is not installed.
        """
        if len(self):
            return super().to_pandas()
        # The types of columns without values are unknown; they are those of an object, which is then left out.
        placeholder = replace(
            self,
            class_ids=np.zeros(1, np.int64),
            scores=np.zeros(1, np.float32),
            boxes=np.zeros((1, 4), np.float32),
            rles=None if self.rles is None else [{"size": self.size, "counts": b""}],
            track_ids=None if self.track_ids is None else np.ones(1, np.int64),
        )
        return placeholder.to_pandas().iloc[:0]

    def with_score_threshold(self, threshold: float) -> "DetectionResult":
        """Return a copy without the objects whose score is below `threshold`."""
        kept = np.flatnonzero(self.scores >= threshold)
        return replace(
            self,
            class_ids=self.class_ids[kept],
            scores=self.scores[kept],
            boxes=self.boxes[kept],
            rles=None if self.rles is None else [self.rles[index] for index in kept],
            track_ids=None if self.track_ids is None else self.track_ids[kept],
            score_threshold=threshold,
        )

    def to_coco(self, image_id: int | str) -> list[dict[str, Any]]:
        """Return the objects in COCO's format of results, which `COCO.loadRes` of pycocotools reads.

        Args:
            image_id: Id of the image in the annotation file that the results belong to.
        """
        results = []
        for record in self.records():
            results.append({"image_id": image_id, **{key: record[key] for key in record if key != "category"}})
        return results

    def to_supervision(self) -> "supervision.Detections":
        """Return the objects as `supervision.Detections`, with decoded masks and the class names in its data.

        Raises:
            InputError: supervision is not installed.
        """
        track_ids = self.track_ids
        if track_ids is not None:
            track_ids = np.where(track_ids == 0, -1, track_ids)  # what the package trackers writes for no identity
        names = np.array([self.class_names[index] for index in self.class_ids.tolist()], dtype=str)
        return import_supervision().Detections(
            xyxy=self.boxes,
            mask=self.masks,
            confidence=self.scores,
            class_id=self.class_ids,
            tracker_id=track_ids,
            data={"class_name": names},
        )

    def to_instances(self) -> Instances:
        """Return the objects as Detectron2's `Instances` on the CPU, with the masks in `pred_masks_rle`."""
        instances = Instances(self.size)
        instances.pred_boxes = Boxes(torch.from_numpy(self.boxes))
        instances.scores = torch.from_numpy(self.scores)
        instances.pred_classes = torch.from_numpy(self.class_ids)
        if self.rles is not None:
            instances.pred_masks_rle = self.rles
        if self.track_ids is not None:
            instances.track_ids = torch.from_numpy(self.track_ids)
        return instances

    def _draw(self, image: np.ndarray) -> np.ndarray:
        color_by = "instance" if self.track_ids is None else "track"
        return draw_instances(image, self.to_instances(), self.class_names, color_by=color_by)
