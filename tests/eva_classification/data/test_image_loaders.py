"""Batches of training and evaluation: exact order, numbered random numbers, every image once."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from image_folders import draw_batches
from timm.data import Mixup

from eva_backbone.errors import InputError
from eva_classification.data import EvaluationMapper, ImageCollate, ImageDataset, TrainingMapper
from eva_classification.transforms import evaluation_transform, training_transform
from eva_engine.data import EvalLoader, build_train_loader, samplers
from eva_engine.data import train_loader as train_loaders
from eva_engine.training.micro_batches import file_names, first_image, split_batch


def _as_rank(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    for module in (samplers, train_loaders):
        monkeypatch.setattr(module, "get_rank", lambda: rank)
        monkeypatch.setattr(module, "get_world_size", lambda: 2)


def train_loader(folder: Path, mixup: Mixup | None = None, on_error: str = "stop", **options):
    return build_train_loader(
        ImageDataset(str(folder)),
        mapper=TrainingMapper(training_transform(28), on_error=on_error),
        collate=ImageCollate(mixup),
        aspect_ratio_grouping=False,
        **{"total_batch_size": 4, "seed": 5, **options},
    )


def both(num_classes: int = 3) -> Mixup:
    return Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, num_classes=num_classes)


def assert_same(one: list[dict], other: list[dict]) -> None:
    for batch, expected in zip(one, other, strict=True):
        assert batch["file_name"] == expected["file_name"]
        torch.testing.assert_close(batch["image"], expected["image"], rtol=0, atol=0)
        torch.testing.assert_close(batch["label"], expected["label"], rtol=0, atol=0)


@pytest.mark.parametrize("mixed", [True, False])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_do_not_depend_on_workers_and_start_iteration(image_folder, mixed, num_workers):
    expected = draw_batches(train_loader(image_folder, both() if mixed else None), 9)
    random.seed(99), np.random.seed(99), torch.manual_seed(99)
    loader = train_loader(image_folder, both() if mixed else None, num_workers=num_workers)
    assert_same(draw_batches(loader, 9), expected)
    loader.skip(3)
    assert_same(draw_batches(loader, 6), expected[3:])
    loader.skip(2)
    assert_same(draw_batches(loader, 2), expected[5:7])
    assert expected[0]["image"].shape == (4, 3, 28, 28)
    assert expected[0]["label"].shape == ((4, 3) if mixed else (4,))
    assert len({float(batch["image"].sum()) for batch in expected}) == 9


def test_mixing_is_timms_and_differs_from_batch_to_batch(image_folder):
    plain, mixed = (draw_batches(train_loader(image_folder, mixup), 12) for mixup in (None, both()))
    shares = set()
    for before, after in zip(plain, mixed, strict=True):
        one_hot = torch.nn.functional.one_hot(before["label"], 3) * 0.9 + 0.1 / 3
        mixtures = [lam * one_hot + (1 - lam) * one_hot.flip(0) for lam in torch.linspace(0, 1, 2001)]
        differences = torch.stack([(mixture - after["label"]).abs().max() for mixture in mixtures])
        assert differences.min() < 1e-3
        shares.add(int(differences.argmin()))
        assert before["file_name"] == after["file_name"]
    assert len(shares) > 6


def test_random_state_of_the_process_stays(image_folder):
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = draw()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    draw_batches(train_loader(image_folder, both()), 2)
    assert draw() == expected


def test_processes_share_the_images_of_one(image_folder, monkeypatch):
    alone = draw_batches(train_loader(image_folder), 5)
    parts = []
    for rank in range(2):
        _as_rank(monkeypatch, rank)
        parts.append(draw_batches(train_loader(image_folder), 5))
    for number, batch in enumerate(alone):
        together = torch.stack([part[number]["image"] for part in parts], dim=1).flatten(0, 1)
        torch.testing.assert_close(together, batch["image"], rtol=0, atol=0)


def test_processes_mix_independently(image_folder, monkeypatch):
    drawn = []

    class Recorder(Mixup):
        def _params_per_batch(self):
            drawn.append(super()._params_per_batch())
            return drawn[-1]

    for rank in range(2):
        _as_rank(monkeypatch, rank)
        draw_batches(train_loader(image_folder, Recorder(cutmix_alpha=1.0, num_classes=3)), 3)
    assert len(set(drawn)) == 6


def test_unreadable_images_are_replaced_by_the_same_ones(image_folder):
    (image_folder / "bee" / "2.png").write_bytes(b"")
    drawn = [draw_batches(train_loader(image_folder, on_error="skip", num_workers=n), 6) for n in (0, 2)]
    assert_same(*drawn)
    names = {name for batch in drawn[0] for name in batch["file_name"]}
    assert str(image_folder / "bee" / "2.png") not in names
    assert len(names) == 11
    with pytest.raises(InputError, match=r"bee/2\.png: not a readable image"):
        draw_batches(train_loader(image_folder, num_workers=2), 6)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"total_batch_size": 3, "mixup": both()}, "need an even number of images, but each process gets 3"),
        ({"mixup": both(num_classes=2)}, "the mixup has classes 0 to 1, but the data has class 2"),
    ],
)
def test_invalid_mixup_batches(image_folder, options, sentence):
    with pytest.raises(InputError, match=sentence):
        draw_batches(train_loader(image_folder, **options), 6)


def test_the_training_loop_can_take_batches_apart(image_folder):
    batch = draw_batches(train_loader(image_folder, both()), 1)[0]
    first, second = split_batch(batch, 2)
    assert first["file_name"] + second["file_name"] == batch["file_name"] == file_names(batch)
    torch.testing.assert_close(torch.cat([first["label"], second["label"]]), batch["label"])
    assert first_image(batch)["image"].shape == (1, 3, 28, 28)
    assert file_names([{"file_name": "a.png"}, {}]) == ["a.png"]


def make_eval_loader(folder: Path, **options) -> EvalLoader:
    return EvalLoader(
        ImageDataset(str(folder)),
        mapper=EvaluationMapper(evaluation_transform(28)),
        collate=ImageCollate(),
        **options,
    )


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("world_size", [1, 2, 5])
def test_evaluation_sees_every_image_once(image_folder, num_workers, world_size, monkeypatch):
    expected = [record["file_name"] for record in ImageDataset(str(image_folder))]
    names, sizes = [], []
    for rank in range(world_size):
        monkeypatch.setattr(samplers, "get_rank", lambda rank=rank: rank)
        monkeypatch.setattr(samplers, "get_world_size", lambda: world_size)
        loader = make_eval_loader(image_folder, batch_size=5, num_workers=num_workers)
        batches = list(loader)
        assert len(batches) == len(loader)
        assert not any(batch["repeated"].any() for batch in batches)
        names += [name for batch in batches for name in batch["file_name"]]
        sizes.append(sum(len(batch["label"]) for batch in batches))
    assert names == expected
    assert max(sizes) - min(sizes) <= 1


def test_the_first_images_are_repeated_as_on_many_processes(image_folder):
    batches = list(make_eval_loader(image_folder, batch_size=6, repeat_to_multiple_of=8))
    names = [name for batch in batches for name in batch["file_name"]]
    repeated = torch.cat([batch["repeated"] for batch in batches]).tolist()
    assert len(names) == 16
    assert names[12:] == names[:4]
    assert repeated == [False] * 12 + [True] * 4
    assert len(list(make_eval_loader(image_folder, batch_size=6, repeat_to_multiple_of=4))) == 2


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_unreadable_test_image_is_a_user_error(image_folder, num_workers):
    (image_folder / "cat" / "1.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"^\S+cat/1\.png: not a readable image") as error:
        list(make_eval_loader(image_folder, num_workers=num_workers))
    assert "\n" not in str(error.value)


def test_sizes_below_one(image_folder):
    with pytest.raises(InputError, match="must be 1 or more"):
        make_eval_loader(image_folder, batch_size=0)
