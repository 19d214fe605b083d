"""Tiles and COCO annotations from label images."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api

from detectron2_ext.data import load_coco_json
from eva_demos.detection.label_tiles import (
    LabelledImage,
    cut_tiles,
    label_annotations,
    stretch_intensity,
    write_coco_tiles,
)


def labelled(height=20, width=30):
    labels = np.zeros((height, width), np.int32)
    labels[2:6, 8:13] = 7  # crosses the edge between the first two tiles of 10 pixels
    labels[12:18, 21:28] = 300
    pixels = (np.arange(height * width) % 251).astype(np.uint8).reshape(height, width)
    return LabelledImage("frame", pixels, labels)


def test_only_complete_tiles_are_cut():
    tiles = list(cut_tiles(labelled(height=25), size=10, stride=10))
    assert [tile.name for tile in tiles] == [f"frame_y{y:04d}_x{x:04d}" for y in (0, 10) for x in (0, 10, 20)]
    assert all(tile.labels.shape == (10, 10) for tile in tiles)


@pytest.mark.parametrize(
    ("min_area", "boxes"),
    [(1, [[8, 2, 2, 4]]), (8, [[8, 2, 2, 4]]), (9, [])],
)
def test_a_cut_instance_is_kept_from_the_minimum_area_on(min_area, boxes):
    tile = next(cut_tiles(labelled(), 10, 10))
    annotations = label_annotations(tile.labels, min_area)
    assert [annotation["bbox"] for annotation in annotations] == boxes


def test_written_masks_are_the_labels(tmp_path):
    json_file = tmp_path / "tiles.json"
    count = write_coco_tiles(cut_tiles(labelled(), 10, 10), json_file, tmp_path / "images", min_area=4)
    content = json.loads(json_file.read_text())
    assert count == len(content["annotations"]) == 3
    assert len(content["images"]) == 6  # those without instances too
    uncut = content["annotations"][-1]
    assert uncut["area"] == 42
    mask = mask_api.decode(uncut["segmentation"])
    np.testing.assert_array_equal(mask, labelled().labels[10:20, 20:30] == 300)
    dicts, summary = load_coco_json(json_file, tmp_path / "images", "tiles")
    assert (summary.class_names, summary.has_masks, summary.num_empty_images) == (("nucleus",), True, 3)
    assert Image.open(dicts[0]["file_name"]).size == (10, 10)


def test_a_second_process_leaves_the_images_of_the_first(tmp_path):
    """Another process may be reading them."""

    def written() -> dict[str, int]:
        write_coco_tiles(cut_tiles(labelled(), 10, 10), tmp_path / "tiles.json", tmp_path / "images", min_area=4)
        return {path.name: path.stat().st_ino for path in (tmp_path / "images").iterdir()}

    first = written()
    assert len(first) == 6
    (tmp_path / "images/frame_y0000_x0000.png").write_bytes(b"being read")
    assert written() == first
    assert (tmp_path / "images/frame_y0000_x0000.png").read_bytes() == b"being read"
    assert {path.name for path in tmp_path.iterdir()} == {"images", "tiles.json"}


def test_stretching_maps_background_to_black_and_bright_nuclei_to_white():
    counts = np.full((100, 100), 33000, np.uint16)
    counts[80:] = 32990  # darker than the median
    counts[:10] = 34000
    counts[50, 50] = 36000
    counts[20:30] = 33250
    stretched = stretch_intensity(counts)
    assert stretched.dtype == np.uint8
    assert (stretched[0, 0], stretched[50, 50], stretched[60, 0], stretched[90, 0]) == (255, 255, 0, 0)
    assert stretched[25, 0] == round(255 * 0.25**0.7)


def test_a_constant_image_is_black():
    assert stretch_intensity(np.full((4, 4), 77, np.uint16)).max() == 0
