"""Errors of the training loader about bad images, dead workers and impossible settings."""

import os
import signal
from pathlib import Path

import pytest
from synthetic_photos import draw_batches, jitter_mapper

from eva_backbone.errors import InputError
from eva_engine.data import build_train_loader, train_loader


def test_too_many_bad_images_in_a_row(photo_records):
    loader = build_train_loader(photo_records, mapper=lambda _: None, total_batch_size=4, seed=1)
    with pytest.raises(InputError, match=r"20 samples in a row .* the last one .*\d\.png; check the training data"):
        next(iter(loader))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_message_about_a_bad_image_arrives_unchanged(photo_records, num_workers):
    for record in photo_records:
        Path(record["file_name"]).unlink()
    loader = build_train_loader(
        photo_records, mapper=jitter_mapper(), total_batch_size=4, num_workers=num_workers, seed=1
    )
    with pytest.raises(InputError, match=r"^\S+\.png: no such image file; check the image folder\.$"):
        next(iter(loader))


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        (signal.SIGKILL, r"has ended \(signal: Killed\); .* too little memory"),
        (signal.SIGBUS, r"has ended \(signal: Bus error\); .* shared memory is full"),
        (None, r"has ended; run with dataloader\.train\.num_workers=0"),
    ],
)
def test_a_worker_that_dies(photo_records, end, sentence):
    def die(_: dict) -> dict:
        if end is None:
            os._exit(3)
        signal.signal(end, signal.SIG_DFL) if end != signal.SIGKILL else None
        os.kill(os.getpid(), end)

    loader = build_train_loader(photo_records, mapper=die, total_batch_size=4, num_workers=1, seed=1)
    with pytest.raises(InputError, match=sentence):
        next(iter(loader))


def test_other_errors_of_a_mapper_keep_their_traceback(photo_records):
    def broken(_: dict) -> dict:
        raise RuntimeError("a defect")

    loader = build_train_loader(photo_records, mapper=broken, total_batch_size=4, num_workers=1, seed=1)
    with pytest.raises(RuntimeError, match=r"(?s)Traceback.*a defect"):
        next(iter(loader))


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        (None, {"total_batch_size": 0}, "total_batch_size=0 cannot be divided among 1 processes"),
        (None, {"seed": -1}, "seed=-1; use 0 or more"),
        (None, {"sampler": range(9)}, "sampler range has ended"),
        (None, {"sampler": range(9), "aspect_ratio_grouping": False}, "sampler range has ended"),
        ("height", {}, "no 'height', which grouping by aspect ratio needs"),
    ],
)
def test_what_the_loader_refuses(photo_records, change, options, sentence):
    for record in photo_records:
        record.pop(change, None)
    with pytest.raises(InputError, match=sentence):
        draw_batches(
            build_train_loader(photo_records, mapper=jitter_mapper(), **{"total_batch_size": 4, "seed": 0} | options), 4
        )


def test_batches_must_divide_among_the_processes(photo_records, monkeypatch):
    monkeypatch.setattr(train_loader, "get_world_size", lambda: 3)
    with pytest.raises(InputError, match="total_batch_size=4 cannot be divided among 3 processes"):
        build_train_loader(photo_records, mapper=jitter_mapper(), total_batch_size=4)
