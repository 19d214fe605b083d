"""Mapping pairs, batches of them, and the training loader over both kinds of records."""

import logging

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic_pairs import caption, pair_members, write_shard

from eva_backbone.errors import InputError
from eva_clip import get_tokenizer
from eva_clip.data import CaptionDataset, PairCollate, ShardDataset, TrainingMapper
from eva_clip.transforms import evaluation_transform, training_transform
from eva_engine.data import build_train_loader

TOKENIZER = get_tokenizer("eva_clip_tiny", 8)


def test_pixels_and_token_ids(caption_file):
    record = CaptionDataset(str(caption_file))[4]
    mapped = TrainingMapper(evaluation_transform(16), TOKENIZER)(record)
    with Image.open(record["file_name"]) as image:
        np.testing.assert_array_equal(mapped["image"], evaluation_transform(16)(image).numpy())
    assert mapped["text"].tolist() == TOKENIZER([caption(4)])[0].tolist()
    assert mapped["file_name"] == record["file_name"]
    assert not mapped["is_cut"]


def test_one_of_several_captions_is_drawn(caption_file):
    with open(caption_file, "a") as file:
        file.write("\n0.png,a crimson field\n0.png,eine rote Wand")
    records = CaptionDataset(str(caption_file))

    def drawn(seed: int) -> list[str]:
        loader = build_train_loader(
            records,
            mapper=TrainingMapper(evaluation_transform(16), TOKENIZER),
            sampler=[0] * 40,
            total_batch_size=20,
            aspect_ratio_grouping=False,
            collate=PairCollate(),
            seed=seed,
        )
        return [TOKENIZER.decode([i for i in row.tolist() if i]) for row in next(iter(loader))["text"]]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert len(set(drawn(1))) == 3


@pytest.mark.parametrize("damage", ["no image", "gone", "empty caption"])
def test_unusable_pairs_stop_or_are_skipped(caption_file, damage, caplog):
    record = CaptionDataset(str(caption_file))[2]
    if damage == "empty caption":
        read = record["read"]
        record["read"] = lambda: (read()[0], [" "])
    else:
        (caption_file.parent / "2.png").unlink()
        if damage == "no image":
            (caption_file.parent / "2.png").write_text("text")
    sentence = {"no image": "not a readable image", "gone": "no such image file", "empty caption": "no caption"}[damage]
    with pytest.raises(InputError, match=rf"2\.png: .*{sentence}.*on_error"):
        TrainingMapper(evaluation_transform(16), TOKENIZER)(record)
    mapper = TrainingMapper(evaluation_transform(16), TOKENIZER, on_error="skip")
    with caplog.at_level(logging.WARNING):
        assert mapper(record) is None
    assert sentence in caplog.text
    for _ in range(18):
        assert mapper(record) is None
    with pytest.raises(InputError, match="20 samples in a row"):
        mapper(record)


def test_long_texts_are_cut_counted_and_logged_rarely(caplog):
    batches = PairCollate()
    pixels = np.zeros((3, 4, 4), dtype=np.float32)
    ids, cut = TOKENIZER.tokenize(["red " * 30])
    assert ids[0, -1] == ids.max()
    sample = {"image": pixels, "text": ids[0].numpy(), "is_cut": bool(cut), "file_name": "long.png"}
    short = {**sample, "is_cut": False}
    with caplog.at_level(logging.WARNING):
        for _ in range(30):
            batch = batches([sample, short])
    assert (batches.num_texts, batches.num_cut) == (60, 30)
    assert [record.args[:2] for record in caplog.records] == [(1, 2), (10, 20)]
    assert "more than 8 tokens" in caplog.text
    assert "long.png" in caplog.text
    assert batch["image"].shape == (2, 3, 4, 4)
    assert batch["text"].dtype == torch.int64


@pytest.mark.parametrize("kind", ["caption file", "shards"])
def test_the_loader_gives_the_same_batches_with_workers_and_from_the_middle(caption_file, tmp_path, kind):
    if kind == "shards":
        write_shard(tmp_path / "s-0.tar", {**pair_members(range(6)), "00002.jpg": b"damaged"})
        records = ShardDataset(f"{tmp_path}/s-{{0..0}}.tar")
    else:
        (caption_file.parent / "2.png").write_bytes(b"damaged")
        records = CaptionDataset(str(caption_file))

    def batches(num_workers: int, start: int) -> list[dict]:
        loader = build_train_loader(
            records,
            mapper=TrainingMapper(training_transform(16, scale=(0.3, 1.0)), TOKENIZER, on_error="skip"),
            total_batch_size=4,
            aspect_ratio_grouping=False,
            collate=PairCollate(),
            num_workers=num_workers,
            seed=3,
        )
        loader.skip(start)
        iterator = iter(loader)
        return [next(iterator) for _ in range(start, 4)]

    whole = batches(0, 0)
    for other in (batches(1, 0), batches(0, 2)):
        for one, two in zip(whole[-len(other) :], other, strict=True):
            assert one["file_name"] == two["file_name"]
            for name in ("image", "text"):
                torch.testing.assert_close(one[name], two[name], rtol=0, atol=0)
    assert not any("2.png" in name or "00002" in name for batch in whole for name in batch["file_name"])
