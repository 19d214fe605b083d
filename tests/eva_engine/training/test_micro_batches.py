"""Micro-batches of the batches of any task."""

import pytest
import torch

from eva_engine.training.micro_batches import count_images, split_batch

IMAGES, LABELS = torch.arange(12).view(6, 2), torch.arange(6)


@pytest.mark.parametrize(
    "batch",
    [
        [{"n": i} for i in range(6)],
        IMAGES,
        (IMAGES, LABELS),
        [IMAGES, LABELS],
        {"image": IMAGES, "label": LABELS, "more": (LABELS,)},
    ],
)
def test_micro_batches_are_in_order_and_complete(batch):
    micro_batches = split_batch(batch, 3)
    assert count_images(batch) == 6
    assert [count_images(micro_batch) for micro_batch in micro_batches] == [2, 2, 2]
    assert all(type(micro_batch) is type(batch) for micro_batch in micro_batches)
    assert flat(micro_batches) == flat([batch])


def flat(batches):
    """Label, or number, of every image."""
    if isinstance(batches[0], dict):
        return [int(v) for batch in batches for v in batch["label"]]
    if isinstance(batches[0], torch.Tensor):
        return [int(v) for batch in batches for v in batch[:, 0]]
    if isinstance(batches[0][0], dict):
        return [record["n"] for batch in batches for record in batch]
    return [int(v) for batch in batches for v in batch[1]]
