"""Annotation files are read once in a run and then opened; both give the same records."""

import json
import logging
import os
import pickle
import shutil

import numpy as np
import pytest
from pycocotools import mask as mask_api
from synthetic_coco import HEIGHT, WIDTH, coco_content

from detectron2_ext.data import coco_json, load_coco_json
from eva_backbone.errors import InputError
from eva_engine import json_parts
from eva_engine.data.corrupt_data import record_errors_collected
from eva_engine.data.run_cache import caching_in


def _content() -> dict:
    """Return a file with boxes without masks, run lengths as text, and bad records at its end."""
    content = coco_content()
    for number in range(30):
        box = [number, 2.5, 40, 10.25]  # the last ones are cut at the border
        record = {"id": 200 + number, "image_id": 10 + 10 * (number % 3), "category_id": 7, "bbox": box, "iscrowd": 0}
        content["annotations"].append(record | {"area": -1.0})
    content["annotations"] += [
        content["annotations"][1] | {"id": 300, "segmentation": _run_lengths()},
        content["annotations"][5] | {"id": 301, "bbox": [1, 2, 0, 4]},
        content["annotations"][5] | {"id": 302, "category_id": 8},
        content["annotations"][5] | {"id": 200},
    ]
    return content


def _run_lengths() -> dict:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8, order="F")
    mask[20:30, 30:50] = 1
    return {"size": [HEIGHT, WIDTH], "counts": mask_api.encode(mask)["counts"].decode()}


def _plain(records) -> list:
    def encode(value):
        return value.decode() if isinstance(value, bytes) else value.tolist()

    return json.loads(json.dumps(list(records), default=encode), parse_int=float)


@pytest.fixture
def run(tmp_path):
    """The folder of a run, in which data is read."""
    with caching_in(tmp_path / "run"):
        yield tmp_path / "run"


@pytest.fixture
def reads(monkeypatch):
    """The files that were read, not opened."""
    paths = []
    read = coco_json.read_coco_parts
    monkeypatch.setattr(coco_json, "read_coco_parts", lambda path: paths.append(path) or read(path))
    return paths


def _load(files, **options):
    return load_coco_json(*files, "set", on_error="skip", **options)


def test_the_second_opening_has_the_same_records(tmp_path, write_coco, reads):
    files = write_coco(_content())
    expected, expected_summary = _load(files)
    for _ in range(2):
        with caching_in(tmp_path / "run"):
            records, summary = _load(files)
        assert _plain(records) == _plain(expected)
        assert len(summary.findings) == len(expected_summary.findings) > 0
        assert [str(finding) for finding in summary.findings] == [str(f) for f in expected_summary.findings]
        assert summary.skipped == expected_summary.skipped
        assert len(summary.skipped) == 3
        assert (summary.num_annotations, summary.num_clipped_boxes) == (35, expected_summary.num_clipped_boxes)
        assert [finding.examples[0].file for finding in summary.findings if finding.examples]
    assert len(reads) == 2  # outside of the run, and once in it
    assert sorted(path.name for path in files[1].iterdir()) == [f"{name}.png" for name in "abcdef"]
    assert {path.name for path in tmp_path.iterdir()} == {"annotations.json", "images", "run"}


def test_small_parts_change_nothing(write_coco, monkeypatch):
    files = write_coco(_content())
    expected, expected_summary = _load(files)
    monkeypatch.setattr(json_parts, "_WINDOW", 300)
    monkeypatch.setattr(json_parts, "_TAIL", 300)
    records, summary = _load(files)
    assert _plain(records) == _plain(expected)
    assert summary.skipped == expected_summary.skipped
    assert summary.num_clipped_boxes == expected_summary.num_clipped_boxes


@pytest.mark.usefixtures("run")
def test_a_changed_file_is_read_again(write_coco, reads):
    content = _content()
    files = write_coco(content)
    _load(files)
    write_coco(content)  # the same content at another time
    _load(files)
    assert len(reads) == 1
    content["annotations"][0]["bbox"][0] += 1
    files[0].write_text(json.dumps(content))
    records, _ = _load(files)
    assert len(reads) == 2
    assert records[0]["annotations"][0]["bbox"][0] == content["annotations"][0]["bbox"][0]


@pytest.mark.usefixtures("run")
def test_other_options_are_another_table(write_coco, reads):
    content = coco_content()
    content["categories"].append({"id": 1000, "name": "all"})
    files = write_coco(content)
    assert len(_load(files)[1].class_names) == 4
    assert len(_load(files, leave_out=["all"])[1].class_names) == 3
    assert len(reads) == 2


@pytest.mark.usefixtures("run")
def test_a_removed_image_is_noticed(write_coco):
    files = write_coco(coco_content())
    _load(files)
    (files[1] / "b.png").unlink()
    with pytest.raises(InputError, match="image 20 is missing"):
        load_coco_json(*files, "set")


@pytest.mark.usefixtures("run")
def test_bad_records_stop_or_are_collected_after_a_run_that_skipped_them(write_coco, reads):
    files = write_coco(_content())
    _load(files)
    with pytest.raises(InputError, match=r"annotation 301 .* has a box of zero size"):
        load_coco_json(*files, "set")
    with record_errors_collected() as records:
        load_coco_json(*files, "set")
    names = [record.record for record in records]
    assert names == ["annotation 301 (image 20)", "annotation 302", "annotation 200"]
    assert len(reads) == 1


@pytest.mark.parametrize("damage", ["flip", "cut", "missing", "manifest", "foreign"])
def test_a_damaged_table_is_built_again(write_coco, run, reads, caplog, damage):
    files = write_coco(_content())
    expected = _plain(_load(files)[0])
    folder = run / "cache" / "set"
    box = folder / "box.npy"
    if damage == "flip":
        data = bytearray(box.read_bytes())
        data[-5] ^= 1
        box.write_bytes(data)
    elif damage == "cut":
        os.truncate(box, box.stat().st_size - 8)
    elif damage == "missing":
        box.unlink()
    elif damage == "manifest":
        (folder / "manifest.json").write_text("[1, 2]")
    else:
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / "notes.txt").write_text("not a table")
    with caplog.at_level(logging.WARNING):
        assert _plain(_load(files)[0]) == expected
    assert len(reads) == 2
    assert ("is damaged" in caplog.text) == (damage in ("flip", "cut", "manifest"))


@pytest.mark.usefixtures("run")
def test_workers_that_are_spawned_open_the_same_files(write_coco):
    records, _ = _load(write_coco(_content()))
    pickled = pickle.dumps(records)
    assert len(pickled) < 1000
    assert _plain(pickle.loads(pickled)) == _plain(records)


def test_a_folder_that_cannot_be_written(tmp_path, write_coco):
    (tmp_path / "run").write_text("a file")
    with (
        caching_in(tmp_path / "run"),
        pytest.raises(InputError, match=r"cannot be stored .*; give another train\.output_dir"),
    ):
        _load(write_coco(coco_content()))
