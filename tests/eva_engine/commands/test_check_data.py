"""The command check-data: its exit status, what it prints and writes, and what it leaves alone."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from made_images import HEIGHT, WIDTH, made_image, write_images

from eva_engine.commands import train
from eva_engine.commands.check_data import main
from eva_engine.data_check import output
from eva_engine.data_check.findings import CheckResult, Example, Finding, Severity
from eva_engine.training import launched_run, run


@pytest.fixture
def data(tmp_path):
    """Data for detection: two folders with a COCO file each, and the options that name them."""
    options = []
    for part, numbers in (("train", range(10)), ("val", range(20, 24))):
        write_images(tmp_path / part, numbers)
        images, annotations = [], []
        for number in numbers:
            images.append({"id": number, "file_name": f"{number}.png", "width": WIDTH, "height": HEIGHT})
            box = {"image_id": number, "category_id": 1, "bbox": [8, 8, 32, 32], "area": 1024, "iscrowd": 0}
            annotations.append({"id": number + 1, **box})
        content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "nut"}]}
        (tmp_path / f"{part}.json").write_text(json.dumps(content))
        options += [f"--{part}-json", str(tmp_path / f"{part}.json"), f"--{part}-images", str(tmp_path / part)]
    yield tmp_path, options
    for name in ("custom_train", "custom_val"):
        for catalog in (DatasetCatalog, MetadataCatalog):
            if name in catalog:
                catalog.remove(name)


def _run(options: list[str], folder: Path, *more: str) -> tuple[int, dict]:
    status = main([*options, "--output", str(folder), *more])
    return status, json.loads((folder / "findings.json").read_text())


def test_data_without_flaw(data, tmp_path_factory, capsys):
    folder, options = data
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    out = tmp_path_factory.mktemp("out")
    status, result = _run(options, out)
    assert (status, result["findings"], result["task"]) == (0, [], "detection")
    assert result["class_counts"] == {"training": {"nut": 10}, "validation": {"nut": 4}}
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines()[:4]]
    assert rows == [["training", "validation"], ["images", "10", "4"], ["empty", "0", "0"], ["objects", "10", "4"]]
    assert printed.endswith("found nothing\n")
    assert {path.name for path in out.iterdir()} == {"index.html", "findings.json"}
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_flaws(data, tmp_path_factory, capsys):
    folder, options = data
    shutil.copy(folder / "train" / "0.png", folder / "val" / "20.png")
    made_image(1, (2 * WIDTH, 2 * HEIGHT)).save(folder / "train" / "1.png")
    out = tmp_path_factory.mktemp("out")
    status, result = _run(options, out)
    assert status == 1
    assert [(f["code"], f["severity"], f["count"]) for f in result["findings"]] == [
        ("other-size", "error", 1),
        ("leakage", "error", 1),
    ]
    page = (out / "index.html").read_text()
    assert page.count("data:image/webp;base64,") == 2
    assert "http" not in page  # the page needs nothing from elsewhere
    assert str(folder / "train" / "1.png") in page
    assert "ERROR   training: 1 of 10 images have another size" in capsys.readouterr().out
    status, result = _run(options, out, "--quick")
    assert (status, result["findings"]) == (0, [])


def test_bad_records_do_not_stop_the_check(data, tmp_path_factory):
    folder, options = data
    content = json.loads((folder / "train.json").read_text())
    content["annotations"][0]["bbox"] = [8, 8, 0, 32]
    content["annotations"][1]["bbox"] = [8, 8, 32, 0]
    content["annotations"][2]["category_id"] = 7
    (folder / "train.json").write_text(json.dumps(content))
    out = tmp_path_factory.mktemp("out")
    status, result = _run(options, out, "--quick")
    assert status == 1
    assert [(f["code"], f["count"], f["source"]) for f in result["findings"][:2]] == [
        ("bad-records", 2, str(folder / "train.json")),
        ("bad-records", 1, str(folder / "train.json")),
    ]
    examples = result["findings"][0]["examples"]
    assert [example["file"] for example in examples] == [str(folder / "train" / f"{n}.png") for n in range(2)]
    assert examples[0]["text"] == "annotation 1 (image 0) has a box of zero size, [8, 8, 0, 32]"
    # Those of the bad records, and of the three images that have no object left.
    assert (out / "index.html").read_text().count("data:image") == 6


def test_only_the_data_of_an_evaluation(data, tmp_path_factory):
    _, options = data
    status, result = _run(options, tmp_path_factory.mktemp("out"), "--eval-only")
    assert (status, list(result["facts"])) == (0, ["validation"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "no data was given; add --config-file RECIPE"),
        (["--task", "cooking"], "--task cooking does not exist; choose one of "),
        (["--train-json", "absent.json"], "--train-json was given without --train-images"),
    ],
)
def test_unusable_options(tmp_path, capsys, options, message):
    assert main([*options, "--output", str(tmp_path)]) == 2
    assert f"error: {message}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_unusable_annotation_file(data, tmp_path_factory, capsys):
    folder, options = data
    (folder / "train.json").write_text("{")
    out = tmp_path_factory.mktemp("out")
    assert main([*options, "--output", str(out)]) == 2
    assert "train.json" in capsys.readouterr().err
    assert not list(out.iterdir())


def test_output_that_is_a_file(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["--train-json", "a.json", "--train-images", "a", "--output", str(tmp_path / "file")]) == 2
    assert "is a file; name a folder" in capsys.readouterr().err


def test_the_page_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "_MAX_IMAGE_BYTES", 1)
    examples = tuple(Example(f"<{number}>.png", "", lambda: np.asarray(made_image(0))) for number in range(3))
    result = CheckResult("detection")
    result.extend([Finding("a", Severity.NOTE, "a & b", 5, "c", examples)])
    page = output.write_result(result, tmp_path, "title").read_text()
    assert page.count("data:image") == 1
    assert "&lt;1&gt;.png" in page
    assert "a &amp; b" in page
    assert "and 2 more" in page


def test_train_runs_the_quick_part_before_the_model(data, tmp_path_factory, monkeypatch):
    class CheckedError(Exception):
        pass

    def stop(cfg):
        assert cfg.dataloader.train.dataset.names == "custom_train"
        raise CheckedError

    def build(*_: object) -> None:
        raise AssertionError("the model is built without a check of the data")

    monkeypatch.setattr(launched_run, "log_quick_findings", stop)
    monkeypatch.setattr(run, "prepare_run", build)
    _, options = data
    recipe = "projects/ViTDet/configs/demo/cascade_mask_rcnn_vitdet_eva_tiny_hela.py"
    out = tmp_path_factory.mktemp("out") / "run"
    args = train.parse_arguments(["--config-file", recipe, *options, f"train.output_dir={out}"])
    with pytest.raises(CheckedError):
        launched_run.run_in_process(args, None)
