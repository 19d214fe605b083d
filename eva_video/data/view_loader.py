"""The evaluation loader: every view of every video once, with the videos divided among the processes."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch

from eva_backbone.errors import InputError
from eva_engine.data.batching import MapStyleDataset
from eva_engine.data.eval_loader import EvalLoader
from eva_engine.data.workers import TIMEOUT


class ViewsMapper(Protocol):
    """A mapper from a record to {"video": all its views [V, 3, T, H, W], "view": clip and crop of each [V, 2], ...}."""

    @property
    def num_views(self) -> int:
        """Number of views of every video, V."""

    def __call__(self, record: Any, /) -> dict[str, Any]:
        """Return the views of one record."""


class ViewLoader:
    """Load batches of the views of this process's videos, in order; the views of a video follow each other.

    A video is decoded once for all its views, which can end up in several batches.

    Args:
        dataset: The records.
        mapper: Mapper from a record to all its views. Its random numbers come from `random`, `numpy.random` or torch,
            and are the same for a video in each evaluation.
        batch_size: Views per batch of a process.
        num_workers: Number of processes that load videos; 0 loads in this process.
        timeout: Seconds after which iterating stops if these processes deliver nothing; 0 waits without limit.

    Raises:
        InputError: `batch_size` is below 1; while iterating, a video cannot be used.
    """

    def __init__(
        self,
        dataset: MapStyleDataset[Any],
        *,
        mapper: ViewsMapper,
        batch_size: int = 12,
        num_workers: int = 0,
        timeout: float = TIMEOUT,
    ) -> None:
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size} must be 1 or more.")
        self.dataset = dataset
        self.num_views = mapper.num_views
        self.batch_size = batch_size
        self._videos = EvalLoader(dataset, mapper=mapper, num_workers=num_workers, timeout=timeout)

    def __len__(self) -> int:
        """Return the number of batches of this process."""
        num_views = len(self._videos) * self.num_views
        return -(-num_views // self.batch_size)  # rounded up

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield batches of B views: {"video": [B, 3, T, H, W], "label": [B], "index": index of the video in the
        dataset [B], "view": clip and crop [B, 2], "file_name": list}.
        """
        pending: list[dict[str, Any]] = []
        for (mapped,) in self._videos:
            clips, views = mapped.pop("video"), mapped.pop("view")
            for clip, view in zip(clips, views, strict=True):
                pending.append({**mapped, "video": clip, "view": view})
            while len(pending) >= self.batch_size:
                yield _collate(pending[: self.batch_size])
                del pending[: self.batch_size]
        if pending:
            yield _collate(pending)


def _collate(views: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "video": torch.from_numpy(np.stack([view["video"] for view in views])),
        "label": torch.tensor([view["label"] for view in views]),
        "index": torch.tensor([view["index"] for view in views]),
        "view": torch.from_numpy(np.stack([view["view"] for view in views])),
        "file_name": [view["file_name"] for view in views],
    }
