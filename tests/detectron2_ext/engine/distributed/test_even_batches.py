"""As many batches in every process, where each forward pass needs all of them."""

import pytest

from detectron2_ext.engine.distributed import even_batches
from detectron2_ext.engine.distributed.even_batches import even_length
from eva_backbone.errors import InputError


def test_the_process_with_the_most_batches_decides(monkeypatch):
    monkeypatch.setattr(even_batches.comm, "all_gather", lambda _: [2, 4])
    assert even_length(2, "test images") == 4


def test_process_without_images_is_refused(monkeypatch):
    monkeypatch.setattr(even_batches.comm, "all_gather", lambda _: [1, 0])
    with pytest.raises(InputError, match="fewer batches of test images than the 2 processes"):
        even_length(1, "test images")
