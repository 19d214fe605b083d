"""Each bad annotation file gives one message with the file, the record and the fix."""

import json

import pytest
from synthetic_coco import HEIGHT, WIDTH, coco_content

from detectron2_ext.data import register_coco_json
from eva_backbone.errors import InputError

_PIXELS = WIDTH * HEIGHT


def _set(kind: str, index: int, **values: object):
    return lambda content: content[kind][index].update(values)


def _drop(kind: str, index: int, key: str):
    return lambda content: content[kind][index].pop(key)


def _rle(size: list, counts: object):
    return _set("annotations", 2, segmentation={"size": size, "counts": counts})


_STRUCTURE = [
    ("{", "not valid JSON"),
    ("[" * 100_000, "not valid JSON (nested too deeply)"),
    ("[1, 2]", "holds a JSON list, expected an object with 'images', 'annotations' and 'categories'"),
    (lambda c: c.pop("images"), "has no 'images'"),
    (lambda c: c.pop("categories"), "has no 'categories'"),
    (lambda c: c.update(annotations={}), "'annotations' is not a list of objects"),
    (lambda c: c.update(categories=[]), "'categories' is empty; list every class"),
    (_set("categories", 0, id="1"), "category number 0 has id '1'; give it an integer id"),
    (_set("categories", 0, id=7), "category id 7 is given twice"),
    (_drop("categories", 0, "name"), "category 900 has no name"),
    (_set("categories", 0, name="nut \ud83d"), r"category 900 is named 'nut \ud83d', which is not valid Unicode"),
    (lambda c: c.update(images=[]), "holds no usable image"),
]

_RECORDS = [
    (_set("images", 0, id="x"), "image number 0 has id 'x'; give it an integer id"),
    (_set("images", 0, id=[1]), "image number 0 has id [1]; give it an integer id"),
    (_set("images", 0, id=10), "image 10 is listed twice; give every image its own id"),
    (_drop("images", 0, "file_name"), "image 20 has file_name None; give the name of its file"),
    (_drop("images", 0, "width"), "image 20 has size Nonex48; give 'width' and 'height' in pixels"),
    (_set("images", 0, height=-1), "image 20 has size 64x-1"),
    (_set("images", 0, width=10**6, height=10**6), "image 20 has 1000000x1000000 pixels, the limit is"),
    (_set("images", 0, file_name="gone.png"), "gone.png; check the image folder"),
    (_set("images", 0, file_name="folder\0/a.png"), "image 20 is missing: no file"),
    (_set("images", 0, file_name="\ud800/a.png"), "image 20 is missing: no file"),
    (_drop("annotations", 0, "id"), "annotation number 0 has id None"),
    (_set("annotations", 0, id=102), "annotation 102 is listed twice; give every annotation its own id"),
    (_set("annotations", 0, image_id=77), "annotation 101 has image_id 77, which no image has; correct it"),
    (_set("annotations", 0, image_id=None), "annotation 101 has image_id None"),
    (_set("annotations", 0, category_id=2), "annotation 101 has category_id 2, which no category has; correct it"),
    (_drop("annotations", 0, "category_id"), "annotation 101 has category_id None"),
    (_set("annotations", 0, iscrowd="0"), "annotation 101 has iscrowd '0'; give it as 0 or 1"),
    (_set("annotations", 0, bbox=None, segmentation=[]), "annotation 101 (image 10) has bbox None; correct the box"),
    (_set("annotations", 0, bbox=[1, 2, 3]), "has bbox [1, 2, 3]; correct the box"),
    (_set("annotations", 0, bbox=[1, 2, "3", 4]), "has bbox [1, 2, '3', 4]"),
    (_set("annotations", 0, bbox=[1, 2, float("nan"), 4]), "has bbox [1, 2, nan, 4]"),
    (_set("annotations", 0, bbox=[5, 5, 0, 4]), "annotation 101 (image 10) has a box of zero size, [5, 5, 0, 4]"),
    (_set("annotations", 0, bbox=[5, 5, 4, -4]), "has a box of negative size, [5, 5, 4, -4]"),
    (_set("annotations", 0, bbox=[64, 5, 4, 4]), "has a box outside its 64x48 image, [64, 5, 4, 4]"),
    (_set("annotations", 0, bbox=[-9, 5, 4, 4]), "has a box outside its 64x48 image"),
    (_set("annotations", 0, segmentation="x"), "has a segmentation of type str"),
    (_set("annotations", 0, segmentation=[[1, 2, 3, 4]]), "has no polygon of three or more points"),
    (_set("annotations", 0, segmentation=[[1, 2, 3, 4, 5]]), "has no polygon of three or more points"),
    (_set("annotations", 0, segmentation=[[1, 2, 3, 4, 5, "x"]]), "has a polygon that is not a flat list of numbers"),
    (_set("annotations", 0, segmentation=[[[1, 2], [3, 4], [5, 6]]]), "not a flat list of numbers"),
    (_set("annotations", 0, segmentation=[[0, 0, 1e999, 0, 5, 5]]), "not a flat list of numbers"),
    (_set("annotations", 0, segmentation=[[0, 0, 10**400, 0, 5, 5]]), "not a flat list of numbers"),
    (
        _set("annotations", 0, segmentation=[[100, 0, 120, 0, 120, 9]]),
        "has a polygon completely outside its 64x48 image",
    ),
    (_rle([WIDTH, HEIGHT], [_PIXELS]), "has an RLE of size [64, 48], expected [height, width] of its image, [48, 64]"),
    (_rle([10**9, 10**9], [10**18]), "has an RLE of size"),
    (_rle([HEIGHT, WIDTH], [1, 2, 3]), f"has an RLE for 6 pixels, expected {_PIXELS} (64x48)"),
    (_rle([HEIGHT, WIDTH], [0, 2**32 + _PIXELS]), f"has an RLE for {2**32 + _PIXELS} pixels"),
    (_rle([HEIGHT, WIDTH], [_PIXELS + 1, -1]), "has an RLE whose counts cannot be read"),
    (_rle([HEIGHT, WIDTH], [10**30]), "has an RLE whose counts cannot be read"),
    (_rle([HEIGHT, WIDTH], "o" * 100), "has an RLE whose counts cannot be read"),
    (_rle([HEIGHT, WIDTH], "\u00e9\u20ac"), "has an RLE whose counts cannot be read"),
    (_rle([HEIGHT, WIDTH], ""), "has an RLE whose counts cannot be read"),
    (_rle([HEIGHT, WIDTH], "PPPPPPPPPP0"), "has an RLE whose counts cannot be read"),
    (_rle([HEIGHT, WIDTH], "0PPPo1"), "has an RLE"),
]


def _write(write_coco, change):
    if isinstance(change, str):
        return write_coco(change)
    content = coco_content()
    change(content)
    return write_coco(json.dumps(content).replace("Infinity", "1e999"))


@pytest.mark.parametrize(("change", "fragment"), _STRUCTURE + _RECORDS)
def test_stop(write_coco, dataset_name, change, fragment):
    json_file, folder = _write(write_coco, change)
    with pytest.raises(InputError) as caught:
        register_coco_json(dataset_name, json_file, folder)
    sentence = str(caught.value)
    assert fragment in sentence
    assert sentence.startswith(str(json_file))
    assert sentence.endswith(".")


@pytest.mark.parametrize(("change", "fragment"), _STRUCTURE)
def test_an_unusable_file_is_an_error_even_if_bad_records_are_skipped(write_coco, dataset_name, change, fragment):
    with pytest.raises(InputError) as caught:
        register_coco_json(dataset_name, *_write(write_coco, change), on_error="skip")
    assert fragment in str(caught.value)


@pytest.mark.parametrize(("change", "fragment"), _RECORDS)
def test_skip(write_coco, dataset_name, change, fragment):
    summary = register_coco_json(dataset_name, *_write(write_coco, change), on_error="skip")
    assert fragment in summary.skipped[0]
    # Seven records are good to begin with; a bad image takes its two annotations along.
    assert 4 <= summary.num_images + summary.num_annotations <= 6


def test_missing_file(dataset_name, tmp_path):
    with pytest.raises(InputError, match=r"none\.json: no such annotation file; check the path\."):
        register_coco_json(dataset_name, tmp_path / "none.json", tmp_path)


def test_unknown_on_error(write_coco, dataset_name):
    with pytest.raises(InputError, match='on_error is \'ignore\', expected "stop" or "skip"'):
        register_coco_json(dataset_name, *write_coco(coco_content()), on_error="ignore")
