"""Batches of any task, in parts."""

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
def test_parts_in_order_make_up_the_batch(batch):
    parts = split_batch(batch, 3)
    assert count_images(batch) == 6
    assert [count_images(part) for part in parts] == [2, 2, 2]
    assert all(type(part) is type(batch) for part in parts)
    assert flat(parts) == flat([batch])


def flat(parts):
    """Label, or number, of every image."""
    if isinstance(parts[0], dict):
        return [int(v) for part in parts for v in part["label"]]
    if isinstance(parts[0], torch.Tensor):
        return [int(v) for part in parts for v in part[:, 0]]
    if isinstance(parts[0][0], dict):
        return [record["n"] for part in parts for record in part]
    return [int(v) for part in parts for v in part[1]]
