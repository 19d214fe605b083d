"""Flaws of captions are found by the data check; captions without a flaw give no finding."""

import pytest
from detectron2.config import LazyCall as L
from made_images import write_images
from omegaconf import OmegaConf
from synthetic_pairs import write_shard

from eva_clip import get_tokenizer
from eva_clip.data import CaptionDataset, ShardDataset
from eva_clip.data_check import PairCheck


@pytest.fixture
def lines(tmp_path):
    write_images(tmp_path, range(30))
    return [f"{number}.png,number {number}" for number in range(30)]


def _run(dataset, quick: bool = False):
    train = {
        "dataset": dataset,
        "mapper": {"tokenizer": L(get_tokenizer)(name="eva_clip_tiny", context_length=8)},
    }
    cfg = OmegaConf.create({"dataloader": {"train": train}}, flags={"allow_objects": True})
    return PairCheck(cfg, ["train"]).run(quick=quick)


def _findings(tmp_path, lines, **keywords) -> dict:
    (tmp_path / "captions.csv").write_text("\n".join(["image,caption", *lines]))
    result = _run(L(CaptionDataset)(file=str(tmp_path / "captions.csv")), **keywords)
    return {finding.code: finding for finding in result.findings}


def test_nothing_in_captions_without_flaw(tmp_path, lines):
    assert _findings(tmp_path, lines) == {}


@pytest.mark.parametrize(
    ("more", "code", "severity", "what"),
    [
        (["0.png, "], "bad-records", "error", "line 32 has an empty caption for 0.png"),
        (
            ["0.png,one two three four five six seven"],
            "long-texts",
            "warning",
            "1 of 31 captions have more than 6 tokens and are cut",
        ),
        (["0.png,number 0"], "duplicate-pairs", "warning", "1 images have the same caption several times"),
        (
            [f"{number}.png,a photo" for number in range(25)],
            "common-texts",
            "note",
            "25 of 55 captions are used for 20 or more images each",
        ),
    ],
)
def test_flaws(tmp_path, lines, more, code, severity, what):
    (finding,) = _findings(tmp_path, [*lines, *more], quick=True).values()
    assert (finding.code, finding.severity, finding.what) == (code, severity, what)


def test_missing_image(tmp_path, lines):
    (tmp_path / "3.png").unlink()
    (finding,) = _findings(tmp_path, lines).values()
    assert (finding.code, finding.severity, finding.count) == ("unreadable-images", "error", 1)


def test_text_of_a_shard_that_is_empty(tmp_path):
    images = write_images(tmp_path / "images", range(3))
    members: dict[str, bytes | str] = {}
    for number, image in enumerate(images):
        members |= {f"{number}.png": image.read_bytes(), f"{number}.txt": " " if number == 1 else "a text"}
    write_shard(tmp_path / "0.tar", members)
    result = _run(L(ShardDataset)(shards=str(tmp_path / "0.tar")))
    (finding,) = result.findings
    assert (finding.code, finding.severity, finding.count) == ("empty-texts", "error", 1)
    assert finding.examples[0].draw().shape == (64, 96, 3)
    assert result.facts["training"]["captions"] == "3"
    assert {path.name for path in tmp_path.iterdir()} == {"0.tar", "images"}  # no index next to the user's shard


def test_shards_are_not_read_before_training():
    def check(**dataset):
        cfg = OmegaConf.create({"dataloader": {"train": {"dataset": dataset}}})
        return PairCheck(cfg, ["train"]).is_quick_before_training

    assert check(file="captions.csv")
    assert not check(shards="0.tar")
