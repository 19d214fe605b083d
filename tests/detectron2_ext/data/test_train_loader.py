"""The training loader: same images, same order, whatever the workers and wherever it starts."""

import os
import random
import signal
from itertools import islice
from pathlib import Path

import detectron2.data.build
import numpy as np
import pytest
import torch
from detectron2.data import DatasetMapper, build_detection_train_loader
from detectron2.data import transforms as T
from detectron2.data.samplers import RepeatFactorTrainingSampler, TrainingSampler
from detectron2.utils import comm
from made_photos import made_photos

from detectron2_ext.data import TrainMapper, build_train_loader
from eva_backbone.errors import InputError


@pytest.fixture
def records(tmp_path: Path) -> list[dict]:
    return made_photos(tmp_path)


def _mapper(**options) -> TrainMapper:
    augmentations = [
        T.RandomFlip(horizontal=True),
        T.ResizeScale(min_scale=0.5, max_scale=2.0, target_height=40, target_width=40),
        T.FixedSizeCrop(crop_size=(32, 32), pad=False),
    ]
    return TrainMapper(augmentations=augmentations, image_format="RGB", use_instance_mask=True, **options)


def _draw(loader, count: int) -> list[list[dict]]:
    return list(islice(iter(loader), count))


def _ids(batches: list[list[dict]]) -> list[list[int]]:
    return [[sample["image_id"] for sample in batch] for batch in batches]


def _assert_same(one: list[list[dict]], other: list[list[dict]]) -> None:
    assert _ids(one) == _ids(other)
    for batch, expected in zip(one, other, strict=True):
        for sample, wanted in zip(batch, expected, strict=True):
            assert torch.equal(sample["image"], wanted["image"])
            assert torch.equal(sample["instances"].gt_boxes.tensor, wanted["instances"].gt_boxes.tensor)
            masks = (sample["instances"].gt_masks.polygons, wanted["instances"].gt_masks.polygons)
            assert str(masks[0]) == str(masks[1])


def _as_rank(monkeypatch: pytest.MonkeyPatch, rank: int, world_size: int) -> None:
    monkeypatch.setattr(comm, "get_rank", lambda: rank)
    monkeypatch.setattr(comm, "get_world_size", lambda: world_size)
    monkeypatch.setattr(detectron2.data.build, "get_world_size", lambda: world_size)


@pytest.mark.parametrize("grouping", [True, False])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_workers_and_the_place_to_start_change_nothing(records, grouping, num_workers):
    def build(workers: int):
        return build_train_loader(
            records,
            mapper=_mapper(),
            total_batch_size=3,
            aspect_ratio_grouping=grouping,
            num_workers=workers,
            seed=5,
        )

    expected = _draw(build(0), 12)
    loader = build(num_workers)
    _assert_same(_draw(loader, 12), expected)
    loader.skip(4)
    _assert_same(_draw(loader, 8), expected[4:])
    loader.skip(3)
    random.seed(99), np.random.seed(99), torch.manual_seed(99)
    _assert_same(_draw(loader, 5), expected[7:])
    flips = {tuple(sample["image"].flatten()[:9].tolist()) for batch in expected for sample in batch}
    assert len(flips) > 24  # an image drawn again is augmented in another way


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("grouping", [True, False])
@pytest.mark.parametrize("with_sampler", [True, False])
def test_order_is_detectron2s(records, grouping, rank, with_sampler, monkeypatch):
    _as_rank(monkeypatch, rank, 2)
    monkeypatch.setattr(comm, "shared_random_seed", lambda: 11)

    def build(builder):
        factors = torch.linspace(1.0, 2.5, len(records))
        sampler = RepeatFactorTrainingSampler(factors, seed=4) if with_sampler else None
        plain = DatasetMapper(True, augmentations=[], image_format="RGB")
        return builder(
            records, mapper=plain, sampler=sampler, total_batch_size=4, aspect_ratio_grouping=grouping, num_workers=0
        )

    assert _ids(_draw(build(build_train_loader), 20)) == _ids(_draw(build(build_detection_train_loader), 20))


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_the_images_of_one(records, world_size, monkeypatch):
    def build():
        return build_train_loader(records, mapper=_mapper(), total_batch_size=6, aspect_ratio_grouping=False, seed=3)

    alone = _draw(build(), 7)
    parts = []
    for rank in range(world_size):
        _as_rank(monkeypatch, rank, world_size)
        loader = build()
        loader.skip(2)
        parts.append(_draw(loader, 5))
    together = [[batches[i][j] for j in range(6 // world_size) for batches in parts] for i in range(5)]
    _assert_same(together, alone[2:])


def test_a_batch_is_wide_or_high(records):
    loader = build_train_loader(records, mapper=_mapper(), total_batch_size=4, seed=0)
    batches = _draw(loader, 10)
    shapes = [{sample["width"] > sample["height"] for sample in batch} for batch in batches]
    assert {len(shape) for shape in shapes} == {1}
    assert set.union(*shapes) == {True, False}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_random_state_of_the_process_stays(records, num_workers):
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = [draw() for _ in range(3)]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    loader = build_train_loader(records, mapper=_mapper(), total_batch_size=2, num_workers=num_workers, seed=7)
    batches = iter(loader)
    seen = []
    for _ in range(3):
        next(batches)
        seen.append(draw())
    assert seen == expected


def test_seed_comes_from_the_state_that_processes_share(records):
    orders = []
    for start in (1, 1, 2):
        np.random.seed(start)
        orders.append(_draw(build_train_loader(records, mapper=_mapper(), total_batch_size=4), 6))
    _assert_same(orders[0], orders[1])
    assert _ids(orders[0]) != _ids(orders[2])


def test_skipping_reads_no_image(records):
    read = []

    def mapper(record: dict) -> dict:
        read.append(record["image_id"])
        return record

    loader = build_train_loader(records, mapper=mapper, total_batch_size=4, seed=0)
    loader.skip(5000)
    batch = next(iter(loader))
    assert read == [sample["image_id"] for sample in batch]


def test_a_bad_image_is_replaced_by_the_same_one_everywhere(records):
    Path(records[5]["file_name"]).write_bytes(b"")
    drawn = [
        _draw(
            build_train_loader(
                records, mapper=_mapper(on_error="skip"), total_batch_size=4, num_workers=num_workers, seed=1
            ),
            9,
        )
        for num_workers in (0, 2)
    ]
    _assert_same(*drawn)
    assert all(5 not in batch for batch in _ids(drawn[0]))


def test_too_many_bad_images_in_a_row(records):
    loader = build_train_loader(records, mapper=lambda _: None, total_batch_size=4, seed=1)
    with pytest.raises(InputError, match=r"20 images drawn .* the last one .*\d\.png; check the images"):
        next(iter(loader))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_sentence_about_a_bad_image_arrives_as_it_is(records, num_workers):
    for record in records:
        Path(record["file_name"]).unlink()
    loader = build_train_loader(records, mapper=_mapper(), total_batch_size=4, num_workers=num_workers, seed=1)
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
def test_a_worker_that_dies(records, end, sentence):
    def die(_: dict) -> dict:
        if end is None:
            os._exit(3)
        signal.signal(end, signal.SIG_DFL) if end != signal.SIGKILL else None
        os.kill(os.getpid(), end)

    loader = build_train_loader(records, mapper=die, total_batch_size=4, num_workers=1, seed=1)
    with pytest.raises(InputError, match=sentence):
        next(iter(loader))


def test_other_errors_of_a_mapper_keep_their_traceback(records):
    def broken(_: dict) -> dict:
        raise RuntimeError("a defect")

    loader = build_train_loader(records, mapper=broken, total_batch_size=4, num_workers=1, seed=1)
    with pytest.raises(RuntimeError, match=r"(?s)Traceback.*a defect"):
        next(iter(loader))


def test_workers_share_one_block_of_records(records):
    loader = build_train_loader(records, mapper=_mapper(), total_batch_size=4, seed=1)
    block = loader._samples.records._lst._lst
    assert isinstance(block, torch.Tensor)
    assert block.dtype is torch.uint8


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        (None, {"total_batch_size": 0}, "total_batch_size=0 cannot be split among 1 processes"),
        (None, {"seed": -1}, "seed=-1; give 0 or more"),
        (None, {"sampler": range(9)}, "sampler range has come to its end"),
        (None, {"sampler": range(9), "aspect_ratio_grouping": False}, "sampler range has come to its end"),
        ("height", {}, "no 'height', by which images are grouped"),
    ],
)
def test_what_the_loader_refuses(records, change, options, sentence):
    for record in records:
        record.pop(change, None)
    with pytest.raises(InputError, match=sentence):
        _draw(build_train_loader(records, mapper=_mapper(), **{"total_batch_size": 4, "seed": 0} | options), 4)


def test_batches_must_divide_among_the_processes(records, monkeypatch):
    _as_rank(monkeypatch, 0, 3)
    with pytest.raises(InputError, match="total_batch_size=4 cannot be split among 3 processes"):
        build_train_loader(records, mapper=_mapper(), total_batch_size=4)


def test_any_endless_sampler_and_sequence_will_do(records):
    sampler = TrainingSampler(len(records), shuffle=False)
    loader = build_train_loader(
        tuple(records), mapper=lambda record: record, sampler=sampler, total_batch_size=5, aspect_ratio_grouping=False
    )
    assert _ids(_draw(loader, 3)) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 0, 1, 2]]
