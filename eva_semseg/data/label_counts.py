"""Count the labelled pixels of each class before a run, and warn about classes without any and about unknown values."""

import logging
import random
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from eva_backbone.errors import InputError
from eva_engine.data.corrupt_data import is_data_check
from eva_engine.text_layout import join_first

from ..segmentation_targets import IGNORE_LABEL
from .label_file import LabelValues, read_labels

logger = logging.getLogger(__name__)

# Label files to read at most, and pixels after which no further one is read: seconds for any dataset.
_MAX_FILES = 100
_MAX_PIXELS = 200_000_000
_MAX_NAMED = 8


def check_label_values(files: Sequence[str], class_names: Sequence[str], label_values: LabelValues | None) -> None:
    """Warn about classes without a labelled pixel and values of no class in a random sample of the label files.

    In the data check, which has findings of its own, nothing is read.

    Args:
        files: All label files. Those that cannot be read are reported when they are used.
        class_names: Names of the classes 0, 1, ...
        label_values: Class index of each value; see `read_labels`.
    """
    if is_data_check():  # which reads all label files, or none
        return
    sample = random.Random(0).sample(list(files), min(len(files), _MAX_FILES))
    if label_values is not None and isinstance(next(iter(label_values)), tuple):
        return  # a colour that is not listed is an error when it is read
    values: Any = None if label_values is None else tuple(label_values.items())
    _check(tuple(sample), len(files), tuple(class_names), values)


@cache  # A dataset is built several times in a run.
def _check(
    files: tuple[str, ...],
    num_files: int,
    class_names: tuple[str, ...],
    label_values: tuple[tuple[int, int], ...] | None,
) -> None:
    pixels: Counter[int] = Counter()
    file_with: dict[int, str] = {}
    num_read = 0
    for file in files:
        if pixels.total() > _MAX_PIXELS:
            break
        try:
            values, counts = np.unique(read_labels(file, num_classes=2**31 - 1), return_counts=True)
        except InputError:
            continue
        num_read += 1
        pixels.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        file_with.update(dict.fromkeys(values.tolist(), file))
    class_of = {value: value for value in pixels} if label_values is None else dict(label_values)
    used = {class_of.get(value, -1) for value in pixels}
    without_pixels = [name for index, name in enumerate(class_names) if index not in used]
    unknown = [value for value in pixels if class_of.get(value, -1) not in (*range(len(class_names)), IGNORE_LABEL)]
    problems = []
    if without_pixels:
        names = join_first(without_pixels, _MAX_NAMED)
        problems.append(f"{len(without_pixels)} of {len(class_names)} classes have no pixel ({names})")
    if unknown:
        problems.append(f"the value {unknown[0]} in {file_with[unknown[0]]} is none of the {len(class_names)} classes")
    if num_read and problems:
        fractions = [f"{value} ({100 * count / pixels.total():.3g} %)" for value, count in pixels.most_common()]
        logger.warning(
            "%d of %d label files were looked at: %s. The values there are %s; if other values mean these classes, map "
            "them with the dataset's label_values, such as {0: 0, 255: 1}.",
            num_read,
            num_files,
            ", and ".join(problems),
            join_first(fractions, _MAX_NAMED),
        )
