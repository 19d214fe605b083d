"""Tar shards: numbers in names, random access, the saved index, damaged files."""

import logging
import tarfile
from collections import Counter

import numpy as np
import pytest
from synthetic_pairs import caption, image_bytes, pair_members, write_shard

from eva_backbone.errors import InputError
from eva_clip.data import ShardDataset, tar_index
from eva_clip.data.shard_dataset import expand_numbers
from eva_clip.data.tar_index import index_shard
from eva_engine.data.corrupt_data import RecordErrors


@pytest.fixture
def shards(tmp_path):
    for number in range(3):
        write_shard(tmp_path / f"s-{number:03}.tar", pair_members(range(4 * number, 4 * number + 4)))
    return f"{tmp_path}/s-{{000..002}}.tar"


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.tar", ["a.tar"]),
        ("{08..11}.tar", ["08.tar", "09.tar", "10.tar", "11.tar"]),
        ("{0..1}/{1..2}", ["0/1", "0/2", "1/1", "1/2"]),
        ("{a,b}.tar", ["{a,b}.tar"]),
    ],
)
def test_numbers_in_braces(pattern, names):
    assert expand_numbers(pattern) == names


@pytest.mark.parametrize("pattern", ["{3..1}.tar", "{0..9999999}.tar"])
def test_ranges_without_shards_or_without_end_are_refused(pattern):
    with pytest.raises(InputError, match="not a valid range of shards"):
        expand_numbers(pattern)


def test_every_sample_is_read_by_its_number(shards):
    records = ShardDataset(shards)
    assert len(records) == 12
    for number in (11, 0, 5, 4):
        file, captions = records[number]["read"]()
        assert file.read() == image_bytes(number, "JPEG")
        assert captions == [caption(number)]
        assert records[number]["file_name"].endswith(f"s-{number // 4:03}.tar/{number:05}")


def test_the_index_is_reused_until_the_shard_changes(shards, tmp_path, monkeypatch):
    first = ShardDataset(shards)
    assert (tmp_path / "s-001.tar.index.npy").is_file()

    def scan(*_):
        raise AssertionError("scanned again")

    with monkeypatch.context() as patch:
        patch.setattr(tar_index, "_scan", scan)
        again = ShardDataset(shards)
        assert [again[i]["file_name"] for i in range(12)] == [first[i]["file_name"] for i in range(12)]
        assert again[6]["read"]()[1] == [caption(6)]
    write_shard(tmp_path / "s-001.tar", pair_members(range(20, 22)))
    assert len(ShardDataset(shards)) == 10


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY no", "huge", "object", "other"])
def test_a_damaged_index_is_rebuilt(shards, tmp_path, content):
    ShardDataset(shards)
    kept = tmp_path / "s-000.tar.index.npy"
    if content == "huge":
        content = kept.read_bytes().replace(b"'shape': (5,)", b"'shape': (9999999999,)")[:128]
    elif content in ("object", "other"):
        np.save(kept, np.array([{}] if content == "object" else [1.0]), allow_pickle=True)
        content = kept.read_bytes()
    kept.write_bytes(content)
    assert len(ShardDataset(shards)) == 12


BAD = [
    ({"7.jpg": image_bytes(7)}, "s.tar/7 has no text"),
    ({"7.txt": "alone"}, "s.tar/7 has no image"),
    ({"7.jpg": image_bytes(7), "7.txt": "x" * ((1 << 20) + 1)}, "too large"),
    ({"x" * 300 + ".jpg": image_bytes(7), "x" * 300 + ".txt": "a"}, "too large"),
]


@pytest.mark.parametrize(("members", "problem"), BAD)
def test_incomplete_samples_stop_or_are_skipped(tmp_path, caplog, members, problem):
    shard = write_shard(tmp_path / "s.tar", {**pair_members(range(2)), **members})
    with pytest.raises(InputError, match=f"{problem}.*on_error"):
        ShardDataset(str(shard))
    for _ in range(2):  # reported by every run
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert len(ShardDataset(str(shard), on_error="skip")) == 2
        assert problem in caplog.text


def test_links_and_folders_are_passed_over_and_names_lead_nowhere(tmp_path):
    write_shard(tmp_path / "s.tar", {"../../up.jpg": image_bytes(0), "../../up.txt": "up"})
    with tarfile.open(tmp_path / "s.tar", "a") as tar:
        for kind in (tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo(f"link{int(kind)}.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    records = ShardDataset(str(tmp_path / "s.tar"))
    assert len(records) == 1
    assert records[0]["read"]()[1] == ["up"]
    assert {file.name for file in tmp_path.iterdir()} == {"s.tar", "s.tar.index.npy"}


def test_damaged_shards(tmp_path):
    shard = write_shard(tmp_path / "s.tar", pair_members(range(6)))
    whole = shard.read_bytes()
    records = ShardDataset(str(shard))
    shard.write_bytes(whole[:3000])
    with pytest.raises(InputError, match="shorter than when it was indexed"):
        records[5]["read"]()
    (tmp_path / "s.tar.index.npy").unlink()
    with pytest.raises(InputError, match=r"index\.npy was changed or removed"):
        records[5]
    for length, sentence in ((2560, "end mark"), (3000, "end mark"), (3200, "is cut off")):
        shard.write_bytes(whole[:length])
        with pytest.raises(InputError, match=f"^tar shards: s.tar.*({sentence}).*on_error"):
            ShardDataset(str(shard))
        assert 0 < len(ShardDataset(str(shard), on_error="skip")) < 6
    for content in (b"no tar file" * 100, b"\x1f\x8b" + whole[2:]):
        shard.write_bytes(content)
        with pytest.raises(InputError, match=r"intact, uncompressed \.tar"):
            index_shard(shard, RecordErrors("tar shards", "skip"), Counter())
    for names, sentence in (([], "no image with a text"), (str(tmp_path / "gone.tar"), "no such shard")):
        with pytest.raises(InputError, match=sentence):
            ShardDataset(names)


def test_a_damaged_header_does_not_end_a_shard_in_silence(tmp_path):
    shard = write_shard(tmp_path / "s.tar", pair_members(range(6)))
    content = bytearray(shard.read_bytes())
    content[content.index(b"00003.jpg")] ^= 1
    shard.write_bytes(content)
    with pytest.raises(InputError, match="damaged after its first 3 samples"):
        ShardDataset(str(shard))
    assert len(ShardDataset(str(shard), on_error="skip")) == 3


def test_names_that_are_not_in_utf_8(tmp_path):
    content = write_shard(
        tmp_path / "s.tar", {"é.jpg": image_bytes(0), "é.txt": "a", "è.jpg": image_bytes(1), "è.txt": "b"}
    )
    with (
        tarfile.open(content) as tar,
        tarfile.open(tmp_path / "latin.tar", "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as latin,
    ):
        for member in tar:
            latin.addfile(member, tar.extractfile(member))
    records = ShardDataset(str(tmp_path / "latin.tar"))
    assert [record["read"]()[1] for record in records] == [["a"], ["b"]]
    assert records[0]["file_name"].endswith(r"latin.tar/\xe9")


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 50_000])
def test_unreadable_json_is_reported(tmp_path, text):
    shard = write_shard(tmp_path / "s.tar", {"1.jpg": image_bytes(1), "1.json": text})
    with pytest.raises(InputError, match=r"s\.tar/1: its text cannot be read"):
        ShardDataset(str(shard))[0]["read"]()
