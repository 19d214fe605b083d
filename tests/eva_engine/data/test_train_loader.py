"""The training loader: same images in the same order for any number of workers and any first batch."""

import random
from pathlib import Path

import detectron2.data.build
import numpy as np
import pytest
import torch
from detectron2.data import DatasetMapper, build_detection_train_loader
from detectron2.data.samplers import RepeatFactorTrainingSampler, TrainingSampler
from detectron2.utils import comm
from synthetic_photos import draw_batches, jitter_mapper

from eva_engine.data import build_train_loader, samplers, train_loader


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
    for module in (comm, samplers, train_loader):
        monkeypatch.setattr(module, "get_rank", lambda: rank)
        monkeypatch.setattr(module, "get_world_size", lambda: world_size)
    monkeypatch.setattr(detectron2.data.build, "get_world_size", lambda: world_size)


@pytest.mark.parametrize("grouping", [True, False])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_workers_and_the_place_to_start_change_nothing(photo_records, grouping, num_workers):
    def build(workers: int):
        return build_train_loader(
            photo_records,
            mapper=jitter_mapper(),
            total_batch_size=3,
            aspect_ratio_grouping=grouping,
            num_workers=workers,
            prefetch_factor=4,
            seed=5,
        )

    expected = draw_batches(build(0), 12)
    loader = build(num_workers)
    _assert_same(draw_batches(loader, 12), expected)
    loader.skip(4)
    _assert_same(draw_batches(loader, 8), expected[4:])
    loader.skip(3)
    random.seed(99), np.random.seed(99), torch.manual_seed(99)
    _assert_same(draw_batches(loader, 5), expected[7:])
    flips = {tuple(sample["image"].flatten()[:9].tolist()) for batch in expected for sample in batch}
    assert len(flips) > 24  # an image drawn again is augmented in another way


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("grouping", [True, False])
@pytest.mark.parametrize("with_sampler", [True, False])
def test_order_is_detectron2s(photo_records, grouping, rank, with_sampler, monkeypatch):
    _as_rank(monkeypatch, rank, 2)
    for module in (comm, train_loader):
        monkeypatch.setattr(module, "shared_random_seed", lambda: 11)

    def build(builder):
        factors = torch.linspace(1.0, 2.5, len(photo_records))
        sampler = RepeatFactorTrainingSampler(factors, seed=4) if with_sampler else None
        plain = DatasetMapper(True, augmentations=[], image_format="RGB")
        return builder(
            photo_records,
            mapper=plain,
            sampler=sampler,
            total_batch_size=4,
            aspect_ratio_grouping=grouping,
            num_workers=0,
        )

    assert _ids(draw_batches(build(build_train_loader), 20)) == _ids(
        draw_batches(build(build_detection_train_loader), 20)
    )


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_the_images_of_one(photo_records, world_size, monkeypatch):
    def build():
        return build_train_loader(
            photo_records, mapper=jitter_mapper(), total_batch_size=6, aspect_ratio_grouping=False, seed=3
        )

    alone = draw_batches(build(), 7)
    parts = []
    for rank in range(world_size):
        _as_rank(monkeypatch, rank, world_size)
        loader = build()
        loader.skip(2)
        parts.append(draw_batches(loader, 5))
    together = [[batches[i][j] for j in range(6 // world_size) for batches in parts] for i in range(5)]
    _assert_same(together, alone[2:])


def test_a_batch_is_wide_or_high(photo_records):
    loader = build_train_loader(photo_records, mapper=jitter_mapper(), total_batch_size=4, seed=0)
    batches = draw_batches(loader, 10)
    shapes = [{sample["width"] > sample["height"] for sample in batch} for batch in batches]
    assert {len(shape) for shape in shapes} == {1}
    assert set.union(*shapes) == {True, False}


@pytest.mark.parametrize("num_workers", [0, 2])
def test_random_state_of_the_process_stays(photo_records, num_workers):
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = [draw() for _ in range(3)]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    loader = build_train_loader(
        photo_records, mapper=jitter_mapper(), total_batch_size=2, num_workers=num_workers, seed=7
    )
    batches = iter(loader)
    seen = []
    for _ in range(3):
        next(batches)
        seen.append(draw())
    assert seen == expected


def test_seed_comes_from_the_state_that_processes_share(photo_records):
    orders = []
    for start in (1, 1, 2):
        np.random.seed(start)
        orders.append(draw_batches(build_train_loader(photo_records, mapper=jitter_mapper(), total_batch_size=4), 6))
    _assert_same(orders[0], orders[1])
    assert _ids(orders[0]) != _ids(orders[2])


def test_skipping_reads_no_image(photo_records):
    read = []

    def mapper(record: dict) -> dict:
        read.append(record["image_id"])
        return record

    loader = build_train_loader(photo_records, mapper=mapper, total_batch_size=4, seed=0)
    loader.skip(5000)
    batch = next(iter(loader))
    assert read == [sample["image_id"] for sample in batch]


def test_a_bad_image_is_replaced_by_the_same_one_everywhere(photo_records):
    Path(photo_records[5]["file_name"]).write_bytes(b"")
    drawn = [
        draw_batches(
            build_train_loader(
                photo_records,
                mapper=jitter_mapper(on_error="skip"),
                total_batch_size=4,
                num_workers=num_workers,
                seed=1,
            ),
            9,
        )
        for num_workers in (0, 2)
    ]
    _assert_same(*drawn)
    assert all(5 not in batch for batch in _ids(drawn[0]))


def test_workers_share_one_block_of_records(photo_records):
    loader = build_train_loader(photo_records, mapper=jitter_mapper(), total_batch_size=4, seed=1)
    block = loader._samples.records._lst._lst
    assert isinstance(block, torch.Tensor)
    assert block.dtype is torch.uint8


def test_batches_have_random_numbers_of_their_own(photo_records):
    drawn: dict[str, list] = {"mapper": [], "collate": []}

    def mapper(record: dict) -> dict:
        drawn["mapper"].append((random.random(), np.random.rand(), torch.rand(1).item()))
        return record

    def collate(samples: list[dict]) -> tuple[list[dict], float]:
        drawn["collate"].append((random.random(), np.random.rand(), torch.rand(1).item()))
        return samples, drawn["collate"][-1][0]

    loader = build_train_loader(
        photo_records, mapper=mapper, collate=collate, total_batch_size=2, aspect_ratio_grouping=False, seed=1
    )
    batches = draw_batches(loader, 5)
    everything = [number for numbers in (*drawn["mapper"], *drawn["collate"]) for number in numbers]
    assert len(set(everything)) == len(everything) == 3 * (10 + 5)
    loader.skip(3)
    assert [number for _, number in draw_batches(loader, 2)] == [number for _, number in batches[3:]]


def test_any_endless_sampler_and_sequence_will_do(photo_records):
    sampler = TrainingSampler(len(photo_records), shuffle=False)
    loader = build_train_loader(
        tuple(photo_records),
        mapper=lambda record: record,
        sampler=sampler,
        total_batch_size=5,
        aspect_ratio_grouping=False,
    )
    assert _ids(draw_batches(loader, 3)) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 0, 1, 2]]
