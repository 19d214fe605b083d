"""Every finding about annotations and the recipe is made by a flaw of its own; data without a flaw has none."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from detectron2.config import LazyCall as L
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data import transforms as T
from made_images import made_image, write_images
from omegaconf import OmegaConf

from detectron2_ext.data import register_coco_json
from detectron2_ext.data_check.check import DetectionCheck
from eva_engine.data.corrupt_data import record_errors_collected
from eva_engine.data_check import findings as findings_module
from eva_engine.data_check.command_run import log_quick_findings

WIDTH, HEIGHT = 96, 64
NAMES = {"train": "check_train", "test": "check_val"}


def _content(numbers: range) -> dict:
    """Two boxes of each of two classes in every image, 12 objects of each class in six images."""
    content: dict = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "nut"}, {"id": 2, "name": "gear"}],
    }
    for number in numbers:
        content["images"].append({"id": number, "file_name": f"{number}.png", "width": WIDTH, "height": HEIGHT})
        for index, (x, y) in enumerate([(4, 4), (50, 4), (4, 36), (50, 36)]):
            content["annotations"].append(
                {
                    "id": len(content["annotations"]) + 1,
                    "image_id": number,
                    "category_id": index % 2 + 1,
                    "bbox": [x, y, 24, 24],
                    "area": 576,
                    "iscrowd": 0,
                }
            )
    return content


class Case:
    """Two annotation files with their images, which a test may spoil."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.content = {"train": _content(range(6)), "test": _content(range(10, 14))}
        self.folders = {"train": root / "train", "test": root / "val"}
        write_images(self.folders["train"], range(6))
        write_images(self.folders["test"], range(10, 14))
        self.cfg = OmegaConf.create(
            {
                "model": {
                    "roi_heads": {"box_predictor": {"test_topk_per_image": 100}},
                    "proposal_generator": {"anchor_generator": {"sizes": [[32], [64]], "aspect_ratios": [1.0]}},
                },
                "dataloader": {
                    "train": {"dataset": {"names": NAMES["train"]}},
                    "test": {
                        "dataset": {"names": NAMES["test"]},
                        "mapper": {"augmentations": [L(T.ResizeShortestEdge)(short_edge_length=HEIGHT, max_size=200)]},
                    },
                },
            },
            flags={"allow_objects": True},
        )

    @property
    def train(self) -> dict:
        return self.content["train"]

    def check(self, quick: bool = True) -> dict:
        with record_errors_collected():
            self.register()
        found: dict = {}
        for finding in DetectionCheck(self.cfg).run(quick=quick).findings:
            found.setdefault(finding.code, finding)  # of the training data, if there is one
        return found

    def register(self) -> None:
        for loader, name in NAMES.items():
            file = self.root / f"{loader}.json"
            file.write_text(json.dumps(self.content[loader]))
            register_coco_json(name, file, self.folders[loader])


@pytest.fixture
def case(tmp_path):
    yield Case(tmp_path)
    for name in NAMES.values():
        for catalog in (DatasetCatalog, MetadataCatalog):
            if name in catalog:
                catalog.remove(name)


def test_nothing_in_data_without_flaw(case):
    assert case.check(quick=False) == {}


def test_facts(case):
    case.train["annotations"][0]["iscrowd"] = 1
    case.register()
    result = DetectionCheck(case.cfg).run(quick=True)
    facts = result.facts["training"]
    assert {name: facts[name] for name in ("images", "empty", "objects", "crowd regions", "classes")} == {
        "images": "6",
        "empty": "0",
        "objects": "23",
        "crowd regions": "1",
        "classes": "2",
    }
    assert facts["image size"] == "96x64 to 96x64, median 96x64"
    assert facts["side of the boxes"] == "24 to 24 pixels, median 24"
    assert facts["most objects in an image"] == "4"
    assert result.class_counts == {"training": {"nut": 11, "gear": 12}, "validation": {"nut": 8, "gear": 8}}


def _corners(case):
    for annotation in case.train["annotations"]:
        x, y, w, h = annotation["bbox"]
        annotation["bbox"] = [x, y, x + w, y + h]


def _cut(case):
    case.train["annotations"][0]["bbox"] = [-12, 4, 24, 24]


def _fractions(case):
    for annotation in case.train["annotations"]:
        annotation["bbox"] = [value / 100 for value in annotation["bbox"]]


def _crowds(case):
    for annotation in case.train["annotations"][1::2]:
        annotation["iscrowd"] = 1


def _root(case):
    for content in case.content.values():
        content["categories"].append({"id": 3, "name": "part"})
        for category in content["categories"][:2]:
            category["supercategory"] = "part"


def _some_masks(case):
    case.train["annotations"][0]["segmentation"] = [[4, 4, 28, 4, 28, 28]]


def _twice(case):
    case.train["annotations"].append(case.train["annotations"][0] | {"id": 1000})


def _empty(case):
    case.train["annotations"] = [a for a in case.train["annotations"] if a["image_id"] not in (2, 3, 4, 5)]


def _one_empty(case):
    case.train["images"].append({"id": 20, "file_name": "20.png", "width": WIDTH, "height": HEIGHT})
    write_images(case.folders["train"], range(20, 21))


def _not_listed(case):
    write_images(case.folders["train"], range(30, 32))


def _in_both(case):
    case.folders["test"] = case.folders["train"]
    case.content["test"]["images"][0]["file_name"] = "0.png"
    for image in case.content["test"]["images"][1:]:
        shutil.copy(case.root / "val" / image["file_name"], case.folders["train"])


def _listed_twice(case):
    case.train["images"][0]["file_name"] = "1.png"


def _many_objects(case):
    case.cfg.model.roi_heads.box_predictor.test_topk_per_image = 3


def _small(case):
    case.cfg.dataloader.test.mapper.augmentations[0].short_edge_length = 8


def _large_anchors(case):
    case.cfg.model.proposal_generator.anchor_generator.sizes = [[64], [128]]


def _without_gears(case):
    case.train["annotations"] = [a for a in case.train["annotations"] if a["category_id"] == 1]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (_corners, {"cut-boxes": ("error", "18 of 24 boxes extend beyond their image")}),
        (_cut, {"cut-boxes": ("warning", "1 of 24 boxes extend beyond their image")}),
        (_fractions, {"tiny-boxes": ("error", "24 of 24 boxes are not larger than one pixel")}),
        (_crowds, {"crowds": ("warning", "12 of 24 annotations are crowd regions")}),
        (_root, {"root-category": ("warning", "the category 'part' has no annotations")}),
        (_some_masks, {"missing-masks": ("warning", "23 of 24 annotations have no mask")}),
        (_twice, {"same-object-twice": ("warning", "2 of 25 boxes lie on another box of the same class")}),
        (_empty, {"empty-images": ("warning", "4 of 6 images have no object")}),
        (_one_empty, {"empty-images": ("note", "1 of 7 images have no object")}),
        (_not_listed, {"files-without-annotation": ("note", "2 of 8 image files in ")}),
        (_in_both, {"listed-in-both": ("error", "1 image files are listed for training and for validation")}),
        (_listed_twice, {"listed-twice": ("warning", "1 image files are listed several times")}),
        (_many_objects, {"more-than-detected": ("warning", "6 of 6 images have more objects than the recipe detects")}),
        (_small, {"small-objects": ("warning", "100% of the boxes are narrower than 4 pixels")}),
        (_large_anchors, {"anchors": ("warning", "100% of the boxes overlap with no anchor")}),
        (_without_gears, {"empty-classes": ("warning", "1 of 2 classes have no objects: gear")}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_flaws(case, spoil, expected):
    spoil(case)
    found = case.check()
    for code, (severity, start) in expected.items():
        assert found[code].severity == severity
        assert found[code].what.startswith(start)
        assert found[code].fix
        for example in found[code].examples:
            drawn = example.draw()
            assert (drawn.dtype, drawn.ndim, drawn.shape[2]) == (np.uint8, 3, 3)


def test_objects_that_cannot_be_found_are_counted(case):
    _many_objects(case)
    assert "; 6 of 24 objects cannot be found" in case.check()["more-than-detected"].what
    assert len(case.check()["more-than-detected"].examples) == 6


def test_boxes_on_top_of_each_other_are_shown(case):
    _twice(case)
    (example,) = case.check()["same-object-twice"].examples
    assert (Path(example.file).name, example.text) == ("0.png", "2 boxes in pairs")


def test_bad_records_are_grouped(case):
    annotations = case.train["annotations"]
    annotations[0]["bbox"] = [4, 4, 0, 24]
    annotations[1]["bbox"] = [5, 4, 24, 0]
    annotations[2]["image_id"] = 77
    annotations[3]["category_id"] = 99
    (case.folders["train"] / "5.png").unlink()
    file = case.root / "train.json"
    file.write_text(json.dumps(case.train))
    MetadataCatalog.get("coco_check").set(
        evaluator_type="coco", json_file=str(file), image_root=str(case.folders["train"]), thing_classes=["nut", "gear"]
    )
    DatasetCatalog.register("coco_check", list)
    try:
        case.cfg.dataloader.train.dataset.names = "coco_check"
        found = DetectionCheck(case.cfg, ["train"]).run(quick=True).findings
    finally:
        DatasetCatalog.remove("coco_check")
        MetadataCatalog.remove("coco_check")
    bad_records = [finding for finding in found if finding.code == "bad-records"]
    texts = sorted(finding.what for finding in bad_records)
    assert texts == [
        "2 records, each of which has a box of zero size, ...",
        "annotation 3 has image_id 77, which no image has",
        "annotation 4 has category_id 99, which no category has",
        f"image 5 is missing: no file {case.folders['train'] / '5.png'}",
    ]
    assert {(finding.source, finding.severity) for finding in bad_records} == {(str(file), "error")}


def test_findings_about_the_recipe_name_the_override(case):
    _many_objects(case)
    assert case.check()["more-than-detected"].fix == "give model.roi_heads.box_predictor.test_topk_per_image=50"
    _large_anchors(case)
    assert "'model.proposal_generator.anchor_generator.sizes=[[" in case.check()["anchors"].fix


def test_before_training_each_finding_is_logged_once(case, caplog):
    findings_module._log_once.cache_clear()
    _cut(case)
    _many_objects(case)
    case.cfg.dataloader.evaluator = {}
    case.cfg.model._target_ = "detectron2.modeling.GeneralizedRCNN"
    with caplog.at_level(logging.WARNING):
        case.register()
        log_quick_findings(case.cfg)
        log_quick_findings(case.cfg)
    texts = [record.getMessage() for record in caplog.records]
    assert len(texts) == len(set(texts))
    assert sum("boxes extend beyond their image" in text for text in texts) == 1  # as logged by the reader
    assert sum("more objects than the recipe detects" in text for text in texts) == 2  # training and validation
    records = DatasetCatalog.get(NAMES["train"])  # the records are still those that were read first
    assert len(records) == 6


def test_made_images_differ():
    assert made_image(0).tobytes() != made_image(1).tobytes()
