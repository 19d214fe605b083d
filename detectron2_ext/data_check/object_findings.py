"""What the boxes of a dataset show: objects that are annotated twice."""

from collections.abc import Iterator

import numpy as np

from detectron2_ext.data.drawn_example import box_example
from eva_engine.data_check.findings import MAX_EXAMPLES, Finding, Severity

from .object_table import ObjectTable

_RARE = 0.001  # of the objects


def check_objects(table: ObjectTable, part: str) -> Iterator[Finding]:
    """Yield the findings of hotcoco's health check that the readers of this package do not report themselves."""
    if not len(table.boxes):
        return
    report = table.coco.healthcheck()
    by_code = {item["code"]: item["affected_ids"] for item in (*report["errors"], *report["warnings"])}
    objects = np.array(by_code.get("near_duplicate", ()), dtype=np.int64) - 1
    if len(objects):
        images = list(dict.fromkeys(table.image[objects].tolist()))
        examples = []
        for image in images[:MAX_EXAMPLES]:
            boxes = table.boxes[objects[table.image[objects] == image]].tolist()
            examples.append(box_example(table.images[image], boxes, f"{len(boxes)} boxes in pairs"))
        yield Finding(
            "same-object-twice",
            Severity.WARNING if len(objects) > _RARE * len(table.boxes) else Severity.NOTE,
            f"{len(objects)} of {len(table.boxes)} boxes lie on another box of the same class (IoU above 0.95)",
            len(objects),
            "keep one annotation of each object",
            tuple(examples),
            part,
        )
