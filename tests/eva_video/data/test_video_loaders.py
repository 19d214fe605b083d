"""Mappers and loaders: order, reproducible random numbers, and every view of every video once."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from coded_clips import read_codes, write_coded

from eva_backbone.errors import InputError
from eva_classification.data.mapper import UNREADABLE
from eva_engine.data import build_train_loader, samplers, train_loader
from eva_engine.training.micro_batches import file_names, split_batch
from eva_video.data import (
    ClipMixing,
    ClipReader,
    EvaluationFrameSampler,
    EvaluationMapper,
    EvaluationTransform,
    TrainingFrameSampler,
    TrainingMapper,
    TrainingTransform,
    VideoCollate,
    VideoDataset,
    ViewLoader,
)

RAW = {"mean": (0,) * 3, "std": (1,) * 3}


@pytest.fixture(scope="module")
def original_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    lines = []
    for number in range(6):
        name = f"clip {number}.mp4"
        write_coded(folder / name, num_frames=20 + 5 * number, g=12, bf=2)
        lines.append(f"{name} {number % 3}\n")
    (folder / "list.txt").write_text("".join(lines))
    return folder


@pytest.fixture
def video_folder(original_folder, tmp_path) -> Path:
    """A copy whose files may be damaged."""
    for file in original_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def records(folder: Path) -> VideoDataset:
    return VideoDataset(str(folder / "list.txt"), str(folder))


def make_train_loader(folder: Path, mixing: ClipMixing | None = None, on_error: str = "stop", **options):
    return build_train_loader(
        records(folder),
        mapper=TrainingMapper(TrainingFrameSampler(4), TrainingTransform(28), on_error=on_error),
        collate=VideoCollate(mixing),
        aspect_ratio_grouping=False,
        **{"total_batch_size": 3, "seed": 5, **options},
    )


def set_rank(monkeypatch: pytest.MonkeyPatch, rank: int, world_size: int) -> None:
    for module in (samplers, train_loader):
        monkeypatch.setattr(module, "get_rank", lambda: rank)
        monkeypatch.setattr(module, "get_world_size", lambda: world_size)


def draw(loader, count: int) -> list[dict]:
    return [batch for batch, _ in zip(iter(loader), range(count), strict=False)]


def assert_same(one: list[dict], other: list[dict]) -> None:
    for batch, expected in zip(one, other, strict=True):
        assert batch["file_name"] == expected["file_name"]
        torch.testing.assert_close(batch["video"], expected["video"], rtol=0, atol=0)
        torch.testing.assert_close(batch["label"], expected["label"], rtol=0, atol=0)


@pytest.mark.parametrize("mixed", [True, False])
def test_batches_do_not_depend_on_workers_or_the_starting_point(original_folder, mixed):
    mixing = ClipMixing(3) if mixed else None
    expected = draw(make_train_loader(original_folder, mixing), 6)
    random.seed(99), np.random.seed(99), torch.manual_seed(99)
    loader = make_train_loader(original_folder, mixing, num_workers=2)
    assert_same(draw(loader, 6), expected)
    loader.skip(4)
    assert_same(draw(loader, 2), expected[4:])
    assert expected[0]["video"].shape == (3, 3, 4, 28, 28)
    assert expected[0]["label"].shape == ((3, 3) if mixed else (3,))
    assert len({float(batch["video"].sum()) for batch in expected}) == 6


def test_processes_divide_the_videos(original_folder, monkeypatch):
    alone = draw(make_train_loader(original_folder, total_batch_size=4), 3)
    parts = []
    for rank in range(2):
        set_rank(monkeypatch, rank, 2)
        parts.append(draw(make_train_loader(original_folder, total_batch_size=4), 3))
    for number, batch in enumerate(alone):
        together = torch.stack([part[number]["video"] for part in parts], dim=1).flatten(0, 1)
        torch.testing.assert_close(together, batch["video"], rtol=0, atol=0)


def test_bad_videos_are_replaced_by_the_same_ones(video_folder):
    bad = video_folder / "clip 4.mp4"
    bad.write_bytes(b"")
    drawn = [draw(make_train_loader(video_folder, on_error="skip", num_workers=n), 5) for n in (0, 2)]
    assert_same(*drawn)
    names = {name for batch in drawn[0] for name in batch["file_name"]}
    assert str(bad) not in names
    assert len(names) == 5
    with pytest.raises(InputError, match=r'^\S+clip 4\.mp4: not a readable video.*on_error="skip"\.$') as error:
        draw(make_train_loader(video_folder, num_workers=1), 5)
    assert "\n" not in str(error.value)


def test_only_bad_videos(video_folder):
    for file in video_folder.glob("*.mp4"):
        file.write_bytes(b"")
    with pytest.raises(InputError, match="20 samples"):
        draw(make_train_loader(video_folder, on_error="skip"), 1)


def test_batches_can_be_split_into_micro_batches(original_folder):
    batch = draw(make_train_loader(original_folder, ClipMixing(3), total_batch_size=4), 1)[0]
    first, second = split_batch(batch, 2)
    assert first["file_name"] + second["file_name"] == batch["file_name"] == file_names(batch)
    torch.testing.assert_close(torch.cat([first["video"], second["video"]]), batch["video"])


def test_mixing_with_too_few_classes(original_folder):
    with pytest.raises(InputError, match="the mixing has classes 0 to 1, the data has 2"):
        draw(make_train_loader(original_folder, ClipMixing(2)), 3)


def eval_mapper(num_clips: int = 2, num_crops: int = 3, mode: str = "uniform", **options) -> EvaluationMapper:
    return EvaluationMapper(
        EvaluationFrameSampler(4, num_clips, mode), EvaluationTransform(48, num_crops, **RAW), **options
    )


def test_views_contain_the_frames_of_their_clips(original_folder):
    mapped = eval_mapper()(records(original_folder)[2])
    assert mapped["video"].shape == (6, 3, 4, 48, 48)
    assert mapped["view"].tolist() == [[0, 0], [1, 0], [0, 1], [1, 1], [0, 2], [1, 2]]
    for clip in range(2):
        views = [mapped["video"][clip + 2 * crop] for crop in (0, 2, 1)]  # from left to right: 0, 56, 112 of 160 pixels
        strip = np.zeros((4, 48, 160, 3))
        for left, view in zip((0, 56, 112), views, strict=True):
            strip[:, :, left : left + 48] = view.transpose(1, 2, 3, 0)
        visible = [bit for bit in range(5) if bit != 3]  # bit 3 lies between two crops
        shown = np.array(read_codes(strip)) & sum(1 << bit for bit in visible)
        wanted = EvaluationFrameSampler(4, 2)(30).reshape(2, 4)[clip] & sum(1 << bit for bit in visible)
        np.testing.assert_array_equal(shown, wanted)


@pytest.mark.parametrize(("world_size", "batch_size", "num_workers"), [(1, 5, 0), (2, 12, 1), (4, 5, 0)])
def test_evaluation_sees_every_view_once(original_folder, world_size, batch_size, num_workers, monkeypatch):
    seen = []
    for rank in range(world_size):
        set_rank(monkeypatch, rank, world_size)
        loader = ViewLoader(
            records(original_folder), mapper=eval_mapper(), batch_size=batch_size, num_workers=num_workers
        )
        batches = list(loader)
        assert len(batches) == len(loader)
        assert {len(batch["video"]) for batch in batches[:-1]} <= {batch_size}
        for batch in batches:
            rows = zip(batch["index"].tolist(), batch["view"].tolist(), batch["label"].tolist(), strict=True)
            seen += [(index, tuple(view), label) for index, view, label in rows]
            assert len(batch["file_name"]) == len(batch["index"]) == len(batch["video"])
    crops_outside = [(clip, crop) for crop in range(3) for clip in range(2)]
    assert seen == [(index, view, index % 3) for index in range(6) for view in crops_outside]


def test_random_clips_are_the_same_in_each_evaluation(original_folder):
    loader = ViewLoader(records(original_folder), mapper=eval_mapper(mode="random"), batch_size=6)
    first, second = list(loader), list(loader)
    assert_same(first, second)
    assert not torch.equal(first[4]["video"][0], first[4]["video"][1])


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_bad_test_video_stops_or_counts_as_wrong(video_folder, num_workers, caplog):
    bad = video_folder / "clip 1.mp4"
    bad.write_bytes(b"")
    loader = ViewLoader(records(video_folder), mapper=eval_mapper(), num_workers=num_workers)
    with pytest.raises(InputError, match=rf"^{bad}: not a readable video") as error:
        list(loader)
    assert "\n" not in str(error.value)
    if num_workers == 0:
        loader = ViewLoader(records(video_folder), mapper=eval_mapper(on_error="skip"), batch_size=6)
        batches = list(loader)
        assert [int(batch["label"][0]) for batch in batches] == [0, UNREADABLE, 2, 0, 1, 2]
        assert not batches[1]["video"].any()
        assert f"Counted as wrong: {bad}" in caplog.text


def test_an_incomplete_video_is_logged_once(video_folder, caplog):
    path = write_coded(video_folder / "clip 0.mp4", num_frames=200, movflags="faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    mapper = eval_mapper()
    for _ in range(2):
        assert mapper(records(video_folder)[0])["label"] == 0
    assert caplog.text.count("Incomplete (1 so far in this worker)") == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"decoder": "decord"}, "the decoder is 'decord', expected"),
        ({"frame_pattern": "img.jpg"}, "has no placeholder for the number"),
    ],
)
def test_invalid_reader_options(options, sentence):
    with pytest.raises(InputError, match=sentence):
        ClipReader(**options)


def test_sizes_below_one(original_folder):
    with pytest.raises(InputError, match="batch_size=0 must be 1 or more"):
        ViewLoader(records(original_folder), mapper=eval_mapper(), batch_size=0)
