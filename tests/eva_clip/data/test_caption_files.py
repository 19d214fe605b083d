"""Caption files of every format, bad records, and images outside of the image folder."""

import json
import logging
import os

import pytest
from synthetic_pairs import write_images

from eva_backbone.errors import InputError
from eva_clip.data import CaptionDataset
from eva_clip.data.caption_files import read_captions
from eva_engine.data.corrupt_data import RecordErrors

PAIRS = [("0.png", "a red square"), ("1.png", 'green, "so called"'), ("0.png", "eine rote Fläche\nim Quadrat")]
EXPECTED = {"0.png": ["a red square", "eine rote Fläche\nim Quadrat"], "1.png": ['green, "so called"']}


def table(delimiter: str) -> str:
    quoted = [[f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row] for row in [("image", "caption"), *PAIRS]]
    return "\n".join(delimiter.join(row) for row in quoted)


OBJECTS = [{"image": image, "caption": caption} for image, caption in PAIRS]
COCO = {
    "images": [{"id": 7, "file_name": "0.png"}, {"id": 3, "file_name": "1.png"}],
    "annotations": [{"image_id": {"0.png": 7, "1.png": 3}[image], "caption": caption} for image, caption in PAIRS],
}
FILES = {
    "pairs.csv": "\ufeff" + table(","),
    "pairs.tsv": table("\t"),
    "pairs.json": json.dumps(OBJECTS),
    "lists.json": json.dumps([{"image": image, "caption": captions} for image, captions in EXPECTED.items()]),
    "pairs.jsonl": "\n\n".join(json.dumps(record) for record in OBJECTS),
    "coco.json": json.dumps(COCO),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_captions(tmp_path, name):
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    assert read_captions(tmp_path / name, "image", "caption", RecordErrors(name, "stop")) == EXPECTED


def test_columns_by_name_and_records_of_a_folder(tmp_path):
    write_images(tmp_path / "images")
    (tmp_path / "pairs.csv").write_text("id,title,filepath\n5,a blue square,2.png\n6,ein blaues,2.png\n7,red,3.png\n")
    records = CaptionDataset(
        str(tmp_path / "pairs.csv"), str(tmp_path / "images"), image_key="filepath", caption_key="title"
    )
    assert len(records) == 2
    file, captions = records[0]["read"]()
    assert file.read() == (tmp_path / "images/2.png").read_bytes()
    file.close()
    assert captions == ["a blue square", "ein blaues"]
    assert records[1]["file_name"] == str(tmp_path / "images" / "3.png")


BAD = [
    ({"image": "0.png", "caption": "  "}, "has an empty caption for 0.png"),
    ({"image": "0.png", "caption": 5}, "has an empty caption for 0.png"),
    ({"image": "0.png", "caption": []}, "has an empty caption for 0.png"),
    ({"image": "0.png"}, "has an empty caption for 0.png"),
    ({"caption": "a"}, "has no image name"),
    ("text", "has no image name"),
    ({"image": "../0.png", "caption": "a"}, "outside of the image folder"),
    ({"image": "/etc/0.png", "caption": "a"}, "outside of the image folder"),
]


@pytest.mark.parametrize(("record", "problem"), BAD)
def test_bad_records_stop_or_are_skipped_and_counted(tmp_path, caplog, record, problem):
    file = tmp_path / "pairs.json"
    file.write_text(json.dumps([OBJECTS[0], record, OBJECTS[1]]))
    with pytest.raises(InputError, match=f"{file}: record 2 .*{problem}.*on_error") as error:
        CaptionDataset(str(file))
    assert "cannot be read" not in str(error.value)
    with caplog.at_level(logging.WARNING):
        records = CaptionDataset(str(file), on_error="skip")
    assert len(records) == 2
    assert records[0]["read"].args[1] == ["a red square"]
    assert problem in caplog.text
    assert "1 bad record(s) skipped" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.csv", None, "no such caption file"),
        ("pairs.txt", "a", "does not have the suffix of a caption file"),
        ("pairs.csv", "file,text\na,b\n", "pairs.csv has no column 'image', only 'file', 'text'; name .*caption_key.$"),
        ("pairs.csv", "image,caption\n", "no image with a caption"),
        ("pairs.csv", 'image,caption\na,"' + "x" * (1 << 21), "line 2 cannot be read .field larger than field limit"),
        ("pairs.json", "{", "pairs.json: not valid JSON"),
        ("pairs.json", "[" * 100_000, "nested too deeply"),
        ("pairs.json", '{"images": []}', "lacks the lists"),
        ("pairs.json", "5", "a JSON int"),
        (
            "pairs.jsonl",
            '{"image": "a", "caption": "b"}\nno',
            "line 2 is not valid JSON; write one object per line, or skip",
        ),
    ],
)
def test_unusable_files_are_one_sentence(tmp_path, name, content, sentence):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=sentence) as error:
        CaptionDataset(str(tmp_path / name))
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match=r"image folder .* does not exist"):
        CaptionDataset(str(tmp_path / name), str(tmp_path / "nowhere"))


def test_two_spellings_of_a_path_are_one_image(tmp_path):
    (tmp_path / "pairs.csv").write_text("image,caption\n0.png,a\n./0.png,b\nx//1.png,c\n")
    captions = read_captions(tmp_path / "pairs.csv", "image", "caption", RecordErrors("pairs.csv", "stop"))
    assert captions == {"0.png": ["a", "b"], "x/1.png": ["c"]}


def test_a_pipe_is_rejected(tmp_path):
    os.mkfifo(tmp_path / "0.png")
    (tmp_path / "pairs.csv").write_text("image,caption\n0.png,a\n")
    with pytest.raises(InputError, match="not a regular file"):
        CaptionDataset(str(tmp_path / "pairs.csv"))[0]["read"]()
