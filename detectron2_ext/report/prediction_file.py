"""Predictions of some images out of the file of a whole data set."""

import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path

_IMAGE_ID = re.compile(rb'"image_id": *("(?:[^"\\]|\\.)*"|[^,}\s]+)')


def read_predictions(path: str | Path, image_ids: Collection[int | str]) -> list[dict]:
    """Records of `image_ids` from a file in COCO's result format.

    The evaluators write one record per line: those of other images are then passed over without being parsed, which
    matters where a file has half a million masks. Any other layout is read as a whole.
    """
    records = list(_records_by_line(Path(path), image_ids))
    if None in records:
        records = json.loads(Path(path).read_bytes())
    return [record for record in records if record is not None and record["image_id"] in image_ids]


def _records_by_line(path: Path, image_ids: Collection[int | str]) -> Iterator[dict | None]:
    """The records; None, and an end, at a line that is not just one record."""
    wanted = {json.dumps(image_id).encode() for image_id in image_ids}
    with path.open("rb") as file:
        for line in file:
            text = line.strip().rstrip(b",")
            if text in (b"[", b"]", b""):
                continue
            found = _IMAGE_ID.findall(text)
            if len(found) != 1 or not (text.startswith(b"{") and text.endswith(b"}")):
                yield None
                return
            if found[0] in wanted:
                yield json.loads(text)
