"""Tar shards, tables, JSON and lists that are crafted or damaged: all pairs are read, or an InputError or a message."""

import csv
import io
import json
import os
import tarfile
import time

import pytest
from fuzz.tables import run, write_members

from eva_backbone.errors import InputError
from eva_clip.data import CaptionDataset, ShardDataset
from eva_clip.data.caption_files import read_captions
from eva_clip.data.retrieval_dataset import RetrievalDataset
from eva_clip.data.tar_members import list_members
from eva_engine.data.corrupt_data import RecordErrors
from eva_engine.text_file import read_lines


def pairs_of(dataset) -> list[tuple[bytes, list[str]]]:
    pairs = []
    for index in range(len(dataset)):
        file, captions = dataset[index]["read"]()
        with file:
            pairs.append((file.read(), captions))
    return pairs


ORDINARY = ("a", "folder/b", "x.y/c", "é" * 40)
DOTTED = ("22.05", "img 2.0", "v1.2/3.4.5", "a.jpg", "b.txt")


@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("keys", [ORDINARY, DOTTED])
@pytest.mark.parametrize("ends", [("png", "txt"), ("JPG", "TXT"), ("txt", "webp"), ("jpeg", "json")])
@pytest.mark.parametrize("prefix", ["", "./"])
def test_all_pairs_are_read_whatever_their_keys_and_endings(tmp_path, caplog, layout, keys, ends, prefix):
    members, expected = [], []
    for number, key in enumerate(keys):
        text = json.dumps({"caption": str(number)}) if "json" in ends else str(number)
        for end in ends:
            members.append(
                (f"{prefix}{key}.{end}", text.encode() if end.lower() in ("txt", "json") else bytes([number]))
            )
        expected.append((bytes([number]), [str(number)]))
    shard = write_members(tmp_path / "s.tar", members, format=layout)
    for _ in range(2):  # the second time with the saved index
        assert pairs_of(ShardDataset(shard)) == expected
    assert not caplog.records


def test_a_key_that_occurs_twice_is_two_pairs(tmp_path):
    members = [
        ("a.png", b"1"),
        ("a.txt", b"one"),
        ("a.png", b"2"),
        ("a.txt", b"two"),
        ("a.jpg", b"3"),
        ("a.txt", b"three"),
    ]
    shard = write_members(tmp_path / "s.tar", members)
    assert pairs_of(ShardDataset(shard)) == [(b"1", ["one"]), (b"2", ["two"]), (b"3", ["three"])]


@pytest.mark.parametrize(
    ("names", "problem", "num_pairs"),
    [
        (["a.jpg", "a.jpeg", "a.txt"], "s.tar/a has no text .* for its jpg", 1),
        (["a.png", "a.png", "a.txt", "a.txt"], "s.tar/a has no text .* for its png", 1),
        (["22.png", "22.txt", "3.05.png"], "s.tar/3.05 has no text", 1),
        (["22.png", "22.05.txt", "b.png", "b.txt"], "s.tar/22 has no text", 1),
        (["a.gif", "a.txt", "b.png", "b.txt"], r"s.tar/a has no image \(jpg, jpeg, png, webp\) for its text", 1),
        (["A.png", "a.txt", "b.png", "b.txt"], "s.tar/A has no text", 1),
        (["x/a.png", "y/a.txt", "b.png", "b.txt"], "s.tar/x/a has no text", 1),
    ],
)
def test_members_without_a_partner_are_named_records(tmp_path, names, problem, num_pairs):
    shard = write_members(tmp_path / "s.tar", [(name, b"x") for name in names])
    with pytest.raises(InputError, match=f"^tar shards: {problem}.*on_error"):
        ShardDataset(shard)
    assert len(ShardDataset(shard, on_error="skip")) == num_pairs


@pytest.mark.parametrize(
    ("others", "number"),
    [
        (["1.seg.png", "1.depth.png", "1.cls", "readme", "jpg"], 5),
        (["1.json"], 1),
        (["._1.png", "._1.txt", "x/.hidden.png"], 3),
        (["2.gif", "2.caption"], 2),
    ],
)
def test_members_that_are_not_used_are_counted_in_every_run(tmp_path, caplog, others, number):
    shard = write_members(tmp_path / "s.tar", [(name, b"x") for name in ("1.png", "1.txt", *others)])
    for _ in range(2):
        caplog.clear()
        assert len(ShardDataset(shard)) == 1
        assert f"{number} member(s) are not used" in caplog.text
        assert any(f"s.tar/{name}." in caplog.text for name in others)
    assert (tmp_path / "s.tar.index.npy").is_file()


def test_an_index_that_was_made_under_other_rules_is_not_used(tmp_path, monkeypatch):
    shard = write_members(tmp_path / "s.tar", [("1.png", b"x"), ("1.txt", b"x")])
    monkeypatch.setattr("eva_clip.data.tar_index._RULES", 0)
    ShardDataset(shard)
    monkeypatch.undo()
    write_members(tmp_path / "t.tar", [("2.png", b"x"), ("2.txt", b"x")])
    before = (tmp_path / "s.tar.index.npy").read_bytes()
    ShardDataset(shard)
    assert (tmp_path / "s.tar.index.npy").read_bytes() != before


def test_a_pipe_in_place_of_an_index_does_not_block(tmp_path):
    shard = write_members(tmp_path / "s.tar", [("1.png", b"x"), ("1.txt", b"x")])
    os.mkfifo(tmp_path / "s.tar.index.npy")
    assert len(ShardDataset(shard)) == 1
    assert (tmp_path / "s.tar.index.npy").is_fifo()


def header(name: str, kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def block(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 512)


LONG_NAME = header("././@LongLink", b"L", 5) + block(b"long\0")
PAX = header("pax", b"x", 15) + block(b"15 comment=abc\n")
GOOD = header("1.png", b"0", 3) + block(b"png") + header("1.txt", b"0", 3) + block(b"txt")
END = bytes(1024)
SPARSE_PAX = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
HOSTILE = {
    "many long names": (LONG_NAME * 2_000 + GOOD + END, "s.tar/1 has no image"),
    "many attributes": (PAX * 2_000 + GOOD + END, None),
    "a long name of a huge size": (GOOD + header("x", b"L", 1 << 60) + END, "bytes of attributes"),
    "attributes of a huge size": (GOOD + header("x", b"x", 1 << 60) + END, "bytes of attributes"),
    "global attributes of a huge size": (GOOD + header("x", b"g", 1 << 33) + END, "bytes of attributes"),
    "a member of a huge size": (GOOD + header("2.png", b"0", 1 << 60) + END, "is cut off"),
    "a member of a negative size": (GOOD + header("2.png", b"0", -1536) + END, "is cut off|invalid header"),
    "a size in attributes": (GOOD + header("x", b"x", 19) + block(b"19 size=9999999999\n") + GOOD + END, "is cut off"),
    "attributes without end": (GOOD + header("x", b"x", 600) + block(b"9" * 600) + GOOD + END, "cannot be parsed"),
    "attributes of length 0": (GOOD + header("x", b"x", 9) + block(b"0 abc=de\n") + GOOD + END, "cannot be parsed"),
    "a size of many digits": (
        GOOD + header("x", b"x", 5010) + block(b"5010 size=" + b"9" * 4999 + b"\n") + GOOD + END,
        "s.tar is damaged",
    ),
    "sparse attributes": (GOOD + header("x", b"x", 44) + block(SPARSE_PAX) + header("2.png", b"0", 0) + END, None),
    "an old sparse member": (GOOD + header("2.png", b"S", 0) + END, None),
    "links": (GOOD + header("2.png", b"1", 9) + header("2.txt", b"2", 9) + header("3.png", b"3", 0) + END, None),
    "no end mark": (GOOD, "without the end mark"),
    "joined files": (GOOD + END + GOOD + END, "data follows its end mark"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_shards_take_little_time_and_lose_nothing_in_silence(tmp_path, caplog, case):
    content, problem = HOSTILE[case]
    (tmp_path / "s.tar").write_bytes(content)
    start = time.process_time()
    if problem is None:
        assert len(ShardDataset(str(tmp_path / "s.tar"))) == 1
        assert case == "many attributes" or "member(s) are not used" in caplog.text
    else:
        with pytest.raises(InputError, match=problem) as error:
            ShardDataset(str(tmp_path / "s.tar"))
        assert "\n" not in str(error.value)
    assert time.process_time() - start < 5


def test_members_are_those_of_tarfile(tmp_path):
    for layout in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / "s.tar", "w", format=layout) as tar:
            for number, name in enumerate(("a", "d/" * 45 + "b.txt", "é" * 49, "c")):
                info = tarfile.TarInfo(name)
                info.size, info.mtime = 511 * number, number + 0.5
                tar.addfile(info, io.BytesIO(b"x" * info.size))
            for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
                info = tarfile.TarInfo(f"kind {kind!r}")
                info.type, info.linkname = kind, "target" * (1 if layout == tarfile.USTAR_FORMAT else 60)
                tar.addfile(info)
        with tarfile.open(tmp_path / "s.tar") as tar:
            expected = [(member.name, member.offset_data, member.size, member.isfile()) for member in tar]
        found = [(name, start, size, kind == "file") for name, start, size, kind in list_members(tmp_path / "s.tar")]
        assert found == expected


def test_tsv_is_not_quoted(tmp_path):
    file = tmp_path / "quotes.tsv"
    file.write_text(
        'image\tcaption\n1.png\t"Welcome home, sign\n2.png\ta dog\n3.png\tthe "A" sign\n4.png\t"Exit"\n5.png\tend\n'
    )
    captions = read_captions(file, "image", "caption", RecordErrors("t", "stop"))
    assert captions == {
        "1.png": ['"Welcome home, sign'],
        "2.png": ["a dog"],
        "3.png": ['the "A" sign'],
        "4.png": ['"Exit"'],
        "5.png": ["end"],
    }


def test_cells_of_tsv_that_a_program_quoted(tmp_path):
    rows = [["image", "caption"], ["1.png", 'say "hi"'], ["2.png", '"a" dog']]
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        with open(tmp_path / "t.tsv", "w", newline="") as file:
            csv.writer(file, delimiter="\t", quoting=quoting).writerows(rows)
        captions = read_captions(tmp_path / "t.tsv", "image", "caption", RecordErrors("t", "stop"))
        assert captions == {"1.png": ['say "hi"'], "2.png": ['"a" dog']}


ROWS = ["1.png,a dog", "2.png,a cat", "3.png,a bird"]


@pytest.mark.parametrize(
    ("name", "rows", "problem", "num_kept"),
    [
        ("t.csv", ["0.png,a cat, on a mat", *ROWS], "line 2 has 3 cells, but the header has 2", 3),
        ("t.csv", ["0.png", *ROWS], "line 2 has 1 cells", 3),
        ("t.csv", [*ROWS, '0.png,"Exit" sign'], "line 5 cannot be read", 3),
        ("t.csv", [*ROWS, '0.png,"Exit sign', "4.png,a fish"], "lines 5 to 6 cannot be read .unexpected end", 3),
        ("t.csv", ['0.png,"Welcome', *ROWS, '4.png,"Exit" sign', "5.png,end"], "lines 2 to 6 cannot be read", 1),
        ("t.csv", ["0.png,a\0b", *ROWS], "line 2 has a NUL character", 3),
        ("t.tsv", ["0.png\ta\tb", "1.png\ta"], "line 2 has 3 cells", 1),
        ("t.tsv", ["0.png", "1.png\ta"], "line 2 has 1 cells", 1),
        ("t.jsonl", ['{"image": "0.png"', '{"image": "1.png", "caption": "a"}'], "line 2 is not valid JSON", 1),
        ("t.jsonl", ["", "[1]", '{"image": "1.png", "caption": "a"}'], "line 3 has no image name", 1),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_bad_rows_are_named_and_the_others_read(tmp_path, caplog, name, rows, problem, num_kept, end):
    first = {"t.csv": "image,caption", "t.tsv": "image\tcaption", "t.jsonl": ""}[name]
    (tmp_path / name).write_bytes(end.join([first, *rows]).encode())
    with pytest.raises(InputError, match=f"{problem}.*on_error"):
        CaptionDataset(str(tmp_path / name))
    assert len(CaptionDataset(str(tmp_path / name), on_error="skip")) == num_kept
    assert "1 bad record(s) skipped" in caplog.text


def test_rows_of_several_lines_are_reported(tmp_path, caplog):
    (tmp_path / "t.csv").write_text('image,caption\n0.png,"Welcome\n1.png,a dog\n2.png,"\n3.png,end\n')
    assert len(CaptionDataset(str(tmp_path / "t.csv"))) == 2
    assert "1 row(s) span several lines" in caplog.text
    assert "lines 2 to 4" in caplog.text


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x0b", "\x0c", "\x85", "\x1c"])
def test_characters_that_only_str_splitlines_takes_for_line_ends(tmp_path, character):
    text = f"a{character}b"
    contents = {
        "t.csv": f"image,caption\n0.png,{text}\n",
        "t.tsv": f"image\tcaption\n0.png\t{text}\n",
        "t.jsonl": json.dumps({"image": "0.png", "caption": text}, ensure_ascii=False) + "\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
        captions = read_captions(tmp_path / name, "image", "caption", RecordErrors(name, "stop"))
        assert captions == {"0.png": [text]}
    (tmp_path / "lines.txt").write_text(f"\ufeff{text}\r\n\r{text}", encoding="utf-8")
    assert read_lines(tmp_path / "lines.txt", "list", "fix it") == [text, text]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.json"])
def test_other_encodings_are_one_sentence(tmp_path, name, encoding):
    delimiter = "\t" if name == "t.tsv" else ","
    content = f"image{delimiter}caption\n0.png{delimiter}é\n"
    if "json" in name:
        content = json.dumps([{"image": "0.png", "caption": "é"}], ensure_ascii=False)
    (tmp_path / name).write_bytes(content.encode(encoding))
    with pytest.raises(InputError) as error:
        CaptionDataset(str(tmp_path / name))
    assert "\n" not in str(error.value)


def test_columns_by_name(tmp_path):
    file = tmp_path / "t.csv"
    file.write_text("id, Caption ,IMAGE\n1,a,0.png\n")
    assert read_captions(file, "image", "caption", RecordErrors("t", "stop")) == {"0.png": ["a"]}
    file.write_text("caption,image,caption\n1,a,0.png\n")
    with pytest.raises(InputError, match="has 2 columns named 'caption'"):
        CaptionDataset(str(file))


def test_coco_captions_that_do_not_fit_together(tmp_path, caplog):
    file = tmp_path / "t.json"
    images = [{"id": 1, "file_name": "1.png"}, {"id": 2, "file_name": "2.png"}]
    captions = [{"image_id": 1, "caption": "one"}]
    file.write_text(json.dumps({"images": images, "annotations": captions}))
    assert len(CaptionDataset(str(file))) == 1
    assert "1 image(s) have no caption and are not used, such as 2.png" in caplog.text
    file.write_text(json.dumps({"images": images, "annotations": [*captions, {"image_id": 7, "caption": "x"}]}))
    with pytest.raises(InputError, match="annotation 2 has the image_id 7 of no image"):
        CaptionDataset(str(file))
    file.write_text(json.dumps({"images": [*images, {"id": 1, "file_name": "3.png"}], "annotations": captions}))
    with pytest.raises(InputError, match=r"image '3\.png' has the id 1 of '1\.png'"):
        CaptionDataset(str(file))


def test_karpathy_entries_are_skipped_one_by_one(tmp_path, caplog):
    def entry(name, texts, split="test"):
        return {"filename": name, "split": split, "sentences": [{"raw": text} for text in texts]}

    entries = [entry("1.png", ["a", "b"]), entry("2.png", []), entry("3.png", ["c", " "]), entry("1.png", ["d"]), {}]
    (tmp_path / "t.json").write_text(json.dumps({"images": [*entries, entry("4.png", ["e"], "val")]}))
    with pytest.raises(InputError, match=r"image 3 has an empty caption for 3\.png.*on_error"):
        RetrievalDataset(str(tmp_path / "t.json"), str(tmp_path))
    data = RetrievalDataset(str(tmp_path / "t.json"), str(tmp_path), on_error="skip")
    assert [caption for caption, _ in data.captions] == ["a", "b", "c"]
    for message in (
        "1 image(s) have no caption",
        "image 4 names 1.png again",
        "image 5 lacks its filename",
        "3 bad rec",
    ):
        assert message in caplog.text


def test_mutated_files_are_read_or_refused():
    run(200, seed=0)
