"""The loader of evaluations: every view of every video once, the videos split among the processes."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch

from eva_backbone.errors import InputError
from eva_engine.data.batching import Records
from eva_engine.data.eval_loader import EvalLoader


class ViewsMapper(Protocol):
    """From a record to {"video": all its views [V, 3, T, H, W], "view": clip and crop of each [V, 2], ...}."""

    @property
    def num_views(self) -> int:
        """V, of every video."""

    def __call__(self, record: Any, /) -> dict[str, Any]:
        """The views of one record."""


class ViewLoader:
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

    def __init__(
        self,
        dataset: Records[Any],
        *,
        mapper: ViewsMapper,
        batch_size: int = 12,
        num_workers: int = 0,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size} must be 1 or more.")
        self.dataset = dataset
        self.num_views = mapper.num_views
        self.batch_size = batch_size
        self._videos = EvalLoader(dataset, mapper=mapper, num_workers=num_workers)

    def __len__(self) -> int:
        return -(-len(self._videos) * self.num_views // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """{"video": [B, 3, T, H, W], "label": [B], "index": number of the video in the data set [B], "view": clip and
        crop [B, 2], "file_name": list}; B counts views.
        """
        views: list[dict[str, Any]] = []
        for (mapped,) in self._videos:
            pixels, numbers = mapped.pop("video"), mapped.pop("view")
            views += [{**mapped, "video": clip, "view": view} for clip, view in zip(pixels, numbers, strict=True)]
            while len(views) >= self.batch_size:
                yield _collate(views[: self.batch_size])
                del views[: self.batch_size]
        if views:
            yield _collate(views)


def _collate(views: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "video": torch.from_numpy(np.stack([view["video"] for view in views])),
        "label": torch.tensor([view["label"] for view in views]),
        "index": torch.tensor([view["index"] for view in views]),
        "view": torch.from_numpy(np.stack([view["view"] for view in views])),
        "file_name": [view["file_name"] for view in views],
    }
