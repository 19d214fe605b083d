"""The page of a run, made of synthetic metrics and images."""

import base64
import io
import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api

from detectron2_ext.report import draw_image_pairs
from eva_backbone.errors import InputError
from eva_engine.report import ImagePair, image_grid, read_curves, write_report

RESULTS = {"bbox": {"AP": 71.26, "AP50": 90.0, "APl": float("nan"), "AP-cell": 71.26}, "segm": {"AP": 69.94}}
METRICS = [
    {
        "iteration": 9,
        "total_loss": 3.0,
        "loss_cls_stage0": 1.0,
        "loss_cls_stage1": 2.0,
        "lr": 0.1,
        "roi_head/num_fg": 7,
    },
    {"iteration": 19, "total_loss": 2.0, "loss_cls_stage0": 0.5, "loss_cls_stage1": 1.5, "bbox/AP": 40.0},
    {"iteration": 20, "bbox/AP": 50.0, "segm/AP50": float("nan")},
]


def write_metrics(folder, records=METRICS, end="\n"):
    (folder / "metrics.json").write_text("\n".join(json.dumps(record) for record in records) + end)


def pair(caption="one"):
    return ImagePair(caption, np.zeros((8, 12, 3), np.uint8), np.full((8, 12, 3), 200, np.uint8))


def test_page_has_table_images_curves_facts_and_command(tmp_path):
    write_metrics(tmp_path)
    page = write_report(
        tmp_path,
        title="A run",
        summary="What it is.",
        results={"held-out": RESULTS, "other": {"bbox": {"AP": 12.0}}},
        pairs=[pair()],
        facts={"Time": "3 s"},
        command="python train.py",
    )
    html = page.read_text(encoding="utf-8")
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in re.findall(r"<tr><td>.*?</tr>", html)]
    assert rows == [
        ["held-out", "boxes", "71.3", "90.0"],
        ["held-out", "masks", "69.9", "-"],
        ["other", "boxes", "12.0", "-"],
    ]
    for text in ("A run", "What it is.", "Time", "3 s", "python train.py"):
        assert text in html
    assert html.count("<svg") == 3, "losses, boxes, learning rate"
    for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ElementTree.fromstring(svg)
    images = re.findall(r'src="data:image/webp;base64,([^"]+)"', html)
    assert [Image.open(io.BytesIO(base64.b64decode(data))).size for data in images] == [(12, 8)] * 2
    outside = re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL))
    assert not outside, "the page must stand alone"


def test_every_text_is_escaped(tmp_path):
    evil = '<script>alert("1")</script>'
    write_metrics(tmp_path, [{"iteration": 1, f"loss_{evil}": 1.0}])
    page = write_report(
        tmp_path,
        title=evil,
        summary=evil,
        results={evil: {evil: {evil: 1.0}}},
        pairs=[pair(evil)],
        facts={evil: evil},
        command=evil,
    )
    html = page.read_text(encoding="utf-8")
    assert html.count("<script") == 1, "that of the page"
    assert html.count("&lt;script&gt;") >= 9
    assert f'alt="Prediction for {evil}' not in html


def test_a_run_without_metrics_has_no_curves(tmp_path):
    html = write_report(tmp_path, title="Bare", results={"data": RESULTS}).read_text(encoding="utf-8")
    assert "<svg" not in html
    assert "Ground truth and prediction" not in html


def test_curves_by_name(tmp_path):
    write_metrics(tmp_path)
    curves = read_curves(tmp_path / "metrics.json")
    assert curves.losses["loss_cls_stage1"] == {9: 2.0, 19: 1.5}
    assert set(curves.losses) == {"total_loss", "loss_cls_stage0", "loss_cls_stage1"}
    assert curves.metrics == {"bbox/AP": {19: 40.0, 20: 50.0}}
    assert curves.other == {"lr": {9: 0.1}, "roi_head/num_fg": {9: 7.0}}


def test_a_cut_last_line_is_left_out_and_a_wrong_line_is_named(tmp_path):
    write_metrics(tmp_path, end='\n{"iteration": 2')
    assert set(read_curves(tmp_path / "metrics.json").losses["total_loss"]) == {9, 19}
    write_metrics(tmp_path, [["not", "a record"], *METRICS])
    with pytest.raises(InputError, match=r"metrics\.json, line 1"):
        read_curves(tmp_path / "metrics.json")


def write_coco(folder, segmentation):
    Image.fromarray(np.full((10, 14), 40, np.uint8)).save(folder / "a.png")
    truth = {
        "images": [{"id": 5, "file_name": "a.png", "height": 10, "width": 14}],
        "categories": [{"id": 3, "name": "cell"}],
        "annotations": [{"id": 1, "image_id": 5, "category_id": 3, "bbox": [2, 1, 6, 4], "iscrowd": 0, "area": 24}],
    }
    if segmentation is not None:
        truth["annotations"][0]["segmentation"] = segmentation
    found = [
        {"image_id": 5, "category_id": 3, "bbox": [2, 1, 6, 4], "score": score, "segmentation": rle()}
        for score in (0.9, 0.2)
    ]
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "found.json").write_text(json.dumps(found))
    return folder / "truth.json", folder, folder / "found.json"


def rle():
    mask = np.zeros((10, 14), np.uint8, order="F")
    mask[1:5, 2:8] = 1
    coded = mask_api.encode(mask)
    return {"size": coded["size"], "counts": coded["counts"].decode()}


@pytest.mark.parametrize(
    "segmentation",
    [rle(), [[2, 1, 8, 1, 8, 5, 2, 5]], {"size": [10, 14], "counts": [21, 4, 6, 4, 6, 4, 6, 4, 6, 4, 6, 4, 65]}, None],
    ids=["rle", "polygon", "plain rle", "box only"],
)
def test_pairs_are_drawn_enlarged(tmp_path, segmentation):
    (shown,) = draw_image_pairs(*write_coco(tmp_path, segmentation), enlarge=2)
    assert shown.caption == "a.png: 1 in the ground truth, 1 found"
    assert shown.ground_truth.shape == shown.prediction.shape == (20, 28, 3)
    inside, outside = shown.ground_truth[6, 10], shown.ground_truth[16, 24]
    assert (outside == 40).all()
    assert (inside != 40).any() == (segmentation is not None)
    if segmentation is not None:
        np.testing.assert_array_equal(shown.ground_truth, shown.prediction)


def test_what_the_evaluation_takes_is_drawn(tmp_path):
    """A photo stored on its side, a mask without a box and with a part of two points, a category of no name."""
    truth_file, folder, found_file = write_coco(tmp_path, [[2, 1, 8, 1, 8, 5, 2, 5], [0, 0, 9, 9]])
    truth, found = json.loads(truth_file.read_bytes()), json.loads(found_file.read_bytes())
    del truth["annotations"][0]["bbox"]
    found[1] |= {"category_id": 4, "score": 0.9}
    upright = Image.open(folder / "a.png")
    on_its_side = upright.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[274] = 6  # to be turned clockwise
    on_its_side.save(folder / "a.png", exif=exif)
    found_file.write_text(json.dumps(found))
    (shown,) = draw_image_pairs(truth, folder, found_file)
    assert shown.caption == "a.png: 1 in the ground truth, 1 found"
    assert shown.ground_truth.shape == (10, 14, 3)
    np.testing.assert_array_equal(shown.ground_truth, shown.prediction)


def test_scores_below_the_limit_are_not_drawn(tmp_path):
    (shown,) = draw_image_pairs(*write_coco(tmp_path, rle()), min_score=0.95)
    assert (shown.prediction == 40).all()


def test_mosaic_is_filled_row_by_row():
    tiles = [np.full((2, 3, 3), value, np.uint8) for value in (10, 20, 30)]
    grid = image_grid(tiles, columns=2, gap=1)
    assert grid.shape == (5, 7, 3)
    assert [grid[0, 0, 0], grid[0, 4, 0], grid[3, 0, 0], grid[3, 4, 0], grid[2, 0, 0]] == [10, 20, 30, 255, 255]
