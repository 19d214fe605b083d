"""The loader of evaluations: every view of every video once, the videos split among the processes."""

from collections.abc import Callable, Iterator, Sequence, Sized
from typing import Any

import numpy as np
import torch
from detectron2.data.samplers import InferenceSampler
from detectron2.utils.serialize import PicklableWrapper
from torch.utils.data import DataLoader, Dataset

from detectron2_ext.data.numbered_samples import Failure, numbered_randomness
from eva_backbone.errors import InputError


class TestLoader:
    """Finite batches of this process's part of the videos, in their order; a video's views follow each other.

    A video is decoded once for all its views, which may come in several batches.

    Args:
        dataset: the records.
        mapper: from a record to all its views; it says how many in `num_views`. Its random numbers come from `random`,
            `numpy.random` or torch, and are the same for a video in each evaluation.
        batch_size: views per batch of a process.
        num_workers: processes that map; 0: this one does.

    Raises:
        InputError: while iterating, a video that cannot be used.
    """

    __test__ = False  # no test class, although its name begins like one

    def __init__(
        self,
        dataset: Sequence[Any],
        *,
        mapper: Callable[[Any], dict[str, Any]],
        batch_size: int = 12,
        num_workers: int = 0,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size} must be 1 or more.")
        self.dataset: Sized = dataset
        self.num_views = mapper.num_views
        self.batch_size = batch_size
        self._videos = DataLoader(
            _Mapped(dataset, mapper),
            batch_size=None,
            sampler=InferenceSampler(len(dataset)),
            num_workers=num_workers,
            collate_fn=_unchanged,
            # Starting the workers would draw from torch's own state otherwise.
            generator=torch.Generator().manual_seed(0),
        )

    def __len__(self) -> int:
        return -(-len(self._videos) * self.num_views // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """{"video": [B, 3, T, H, W], "label": [B], "index": number of the video in the data set [B], "view": clip and
        crop [B, 2], "file_name": list}; B counts views.
        """
        views: list[dict[str, Any]] = []
        for mapped in self._videos:
            if isinstance(mapped, Failure):
                raise InputError(mapped.sentence)
            pixels, numbers = mapped.pop("video"), mapped.pop("view")
            views += [{**mapped, "video": clip, "view": view} for clip, view in zip(pixels, numbers, strict=True)]
            while len(views) >= self.batch_size:
                yield _collate(views[: self.batch_size])
                del views[: self.batch_size]
        if views:
            yield _collate(views)


class _Mapped(Dataset):
    def __init__(self, records: Sequence[Any], mapper: Callable[[Any], dict[str, Any]]) -> None:
        self.records = records
        self.mapper = PicklableWrapper(mapper)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> dict[str, Any] | Failure:
        with numbered_randomness(0, index):
            try:
                return {**self.mapper(self.records[index]), "index": index}
            except InputError as error:
                return Failure(str(error))


def _unchanged(sample: dict[str, Any] | Failure) -> dict[str, Any] | Failure:
    return sample


def _collate(views: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "video": torch.from_numpy(np.stack([view["video"] for view in views])),
        "label": torch.tensor([view["label"] for view in views]),
        "index": torch.tensor([view["index"] for view in views]),
        "view": torch.from_numpy(np.stack([view["view"] for view in views])),
        "file_name": [view["file_name"] for view in views],
    }
