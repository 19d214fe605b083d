"""The page of runs of several tasks, from synthetic output folders."""

import json
import logging
import re
import shlex
from argparse import Namespace

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from omegaconf import OmegaConf
from PIL import Image

from detectron2_ext.report import read_predictions, spread_evenly
from eva_engine.config import TRAIN_SETTINGS
from eva_engine.config.override_keys import apply_overrides
from eva_engine.report import ImagePair, read_curves, run_report, write_run_report
from eva_engine.report.run_commands import run_commands
from eva_engine.report.run_facts import run_facts
from eva_engine.training.launched_run import _write_page

LINES = [
    {"iteration": 9, "total_loss": 2.0, "loss_ce": 2.0, "time": 0.5, "images": 8, "lr": 0.1, "peak_memory_gib": 1.25},
    {"iteration": 19, "total_loss": 1.0, "loss_ce": 1.0, "time": 1.5, "images": 8, "lr": 0.0, "peak_memory_gib": 1.5},
    {"iteration": 19, "imagenet/top1": 71.5, "imagenet/ece": 0.031},
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "metrics.json").write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return tmp_path


@pytest.fixture
def warnings(caplog):
    return lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def recipe(folder, **parts):
    cfg = OmegaConf.create({"train": TRAIN_SETTINGS, "dataloader": {"evaluator": None}})
    cfg.model = {"_target_": "eva_classification.classifier.Classifier"}
    cfg.train.update(output_dir=str(folder), max_iter=20, device="cpu", seed=3)
    return OmegaConf.merge(cfg, parts)


def facts_of(html):
    return dict(re.findall(r'<th scope="row">([^<]*)</th><td>([^<]*)</td>', html))


def test_a_classification_run(folder):
    classifier = {"model": {"_target_": "eva.Classifier"}, "optimizer": {"_target_": "torch.AdamW", "lr": 1e-3}}
    cfg = recipe(folder, **classifier)
    cfg.train.accumulation_steps = 2
    (folder / "results.json").write_text(json.dumps({"imagenet": {"top1": 71.5, "top1-cat": 60.0, "worst": None}}))
    pair = ImagePair("a cat", np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8))
    page = write_run_report(cfg, config_file="configs/eva_g.py", image_pairs=lambda: ([pair], "By hand."))
    html = page.read_text(encoding="utf-8")
    facts = facts_of(html)
    assert "<h1>eva_g</h1>" in html
    assert "<h2>Results</h2>" in html
    assert re.findall(r"<td[^>]*>([^<]*)</td>", re.search("<tr><td>test data.*?</tr>", html)[0]) == [
        "test data",
        "imagenet",
        "71.5",
    ]
    assert "By hand." in html
    assert "a cat" in html
    assert html.count("<svg") == 3, "losses, imagenet, learning rate"
    assert (facts["Recipe"], facts["Model"]) == ("configs/eva_g.py", "Classifier")
    assert facts["Training"] == "20 iterations, in 2 micro-batches each, seed 3"
    assert facts["Optimizer"] == "AdamW, lr 0.001"
    assert facts["Time"] == "about 0:00:20 for training, without evaluations"
    assert facts["Speed"] == "1 s per iteration, 8 images/s"
    assert facts["Peak memory"] == "1.5 GiB on rank 0"


def test_a_run_without_evaluation_or_metrics(tmp_path):
    html = write_run_report(recipe(tmp_path), title="Bare").read_text(encoding="utf-8")
    assert "<h1>Bare</h1>" in html
    assert "<svg" not in html
    assert "Results" not in html
    assert "--eval-only" not in html


def test_own_facts_command_and_other_data(folder):
    html = write_run_report(
        recipe(folder),
        {"psnr": 31.234},
        data_name="held-out",
        other_results={"elsewhere": {"": {"psnr": 0.5}}},
        facts={"Model": "A small one", "Note": "Hand-made"},
        command="make demo",
    ).read_text(encoding="utf-8")
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in re.findall(r"<tr><td>.*?</tr>", html)]
    assert rows == [["held-out", "", "31.2"], ["elsewhere", "", "0.5"]]
    assert facts_of(html).items() >= {"Model": "A small one", "Note": "Hand-made"}.items()
    assert "<pre>make demo</pre>" in html


def test_images_that_fail_leave_a_page_and_one_line(folder, warnings):
    def broken():
        raise OSError("no such\nfile")

    assert write_run_report(recipe(folder), image_pairs=broken).is_file()
    assert warnings() == ["The report has no images: OSError: no such file"]


def test_a_report_that_fails_is_one_line(folder, warnings, monkeypatch):
    monkeypatch.setattr(run_report, "write_report", lambda *_, **__: 1 / 0)
    assert write_run_report(recipe(folder)) is None
    assert warnings() == ["No report was written: ZeroDivisionError: division by zero"]


def test_damaged_metrics_do_not_fail_a_training(folder, warnings):
    (folder / "metrics.json").write_text("[]\n[]\n")
    assert write_run_report(recipe(folder)) is None
    assert "line 1" in warnings()[0]


@pytest.fixture
def detection(folder):
    """Ten images of 30 x 20 pixels, the first without ground truth; each with three predictions of falling score."""
    name = f"run_report_{folder.name}"
    images = [{"id": 10 * n, "file_name": f"{n}.png", "height": 20, "width": 30} for n in range(10)]
    for image in images:
        Image.fromarray(np.full((20, 30), 40, np.uint8)).save(folder / image["file_name"])
    boxes = {"category_id": 1, "bbox": [2, 2, 9, 9], "iscrowd": 0}
    truth = [{"id": n, "image_id": image["id"], **boxes} for n, image in enumerate(images) if n]
    content = {"images": images, "annotations": truth, "categories": [{"id": 1, "name": "cell"}]}
    (folder / "truth.json").write_text(json.dumps(content))
    found = [
        {"image_id": image["id"], "category_id": 1, "bbox": [1, 1, 9, 9], "score": score}
        for image in images
        for score in (0.9, 0.5, 0.49)
    ]
    (folder / "inference").mkdir()
    lines = ",\n".join(map(json.dumps, found))
    (folder / "inference/coco_instances_results.json").write_text(f"[\n{lines}\n]\n")
    DatasetCatalog.register(name, list)
    MetadataCatalog.get(name).set(json_file=str(folder / "truth.json"), image_root=str(folder))
    yield recipe(
        folder,
        model={"_target_": "detectron2.modeling.GeneralizedRCNN"},
        dataloader={
            "test": {"dataset": {"names": name}},
            "evaluator": {"dataset_name": name, "output_dir": "${train.output_dir}/inference"},
        },
    )
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def test_a_detection_run_shows_images_spread_over_the_data(detection, folder):
    (folder / "last_checkpoint").write_text("model_final.pth")
    html = write_run_report(detection, {"bbox": {"AP": 50.0}}).read_text(encoding="utf-8")
    captions = re.findall(r"<figcaption>([^<]*)</figcaption>", html)
    assert captions == [f"{n}.png: 1 in the ground truth, 2 found" for n in (1, 3, 4, 6, 7, 9)]
    assert "6 of the 10 test images, evenly spaced" in html
    assert "Average precision, percent" in html
    assert f"evaluate --config-file {folder}/config.yaml train.init_checkpoint={folder}/model_final.pth" in html


def test_no_other_image_is_opened(detection, folder):
    for number in (0, 2, 5, 8):
        (folder / f"{number}.png").unlink()
    assert write_run_report(detection).read_text(encoding="utf-8").count("<figure") == 6


def test_a_detection_run_without_predictions_has_no_images(detection, folder, warnings):
    (folder / "inference/coco_instances_results.json").unlink()
    assert "<figure" not in write_run_report(detection).read_text(encoding="utf-8")
    assert warnings() == []


@pytest.mark.parametrize(
    ("num_images", "count", "ids"),
    [(1, 6, [0]), (3, 6, [0, 1, 2]), (6, 6, [0, 1, 2, 3, 4, 5]), (100, 4, [12, 37, 62, 87]), (0, 6, [])],
)
def test_images_are_spread_evenly(num_images, count, ids):
    annotations = [{"image_id": n, "iscrowd": 0} for n in reversed(range(num_images))]
    annotations += [{"image_id": 500, "iscrowd": 1}, {"image_id": 700, "iscrowd": 0}]
    assert spread_evenly({"images": [{"id": n} for n in range(600)], "annotations": annotations}, count) == ids


@pytest.mark.parametrize("indent", [None, 1], ids=["one line", "indented"])
@pytest.mark.parametrize("ids", [[1, 2, 12], ["1", "a, b", 'say "x"']], ids=["numbers", "text"])
def test_predictions_are_found_in_any_layout(tmp_path, indent, ids):
    records = [{"image_id": image_id, "score": 0.5, "bbox": [1, 2, 3, 4]} for image_id in ids for _ in range(2)]
    file, by_line = tmp_path / "a.json", tmp_path / "b.json"
    file.write_text(json.dumps(records, indent=indent))
    by_line.write_text("[" + ",".join(f"\n{json.dumps(record)}" for record in records) + "\n]\n")
    for wanted in ([], ids[:1], ids[1:]):
        expected = [record for record in records if record["image_id"] in wanted]
        assert read_predictions(file, wanted) == read_predictions(by_line, wanted) == expected


def test_records_of_other_images_are_not_parsed(tmp_path):
    file = tmp_path / "a.json"
    file.write_text('[\n{"image_id": 1, not JSON},\n{"image_id": 2, "score": 1}\n]\n')
    assert read_predictions(file, [2]) == [{"image_id": 2, "score": 1}]


@pytest.mark.parametrize("name", ["plain", "with space", 'odd "name", =x'])
def test_commands_can_be_run(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "last_checkpoint").write_text("model_final.pth")
    train, evaluation = run_commands(folder, evaluated=True).splitlines()
    cfg = recipe(tmp_path)
    words = shlex.split(evaluation)
    assert words[4:6] == ["--config-file", f"{folder}/config.yaml"]
    apply_overrides(cfg, words[6:])
    assert cfg.train.init_checkpoint == f"{folder}/model_final.pth"
    apply_overrides(cfg, shlex.split(train)[6:])
    assert cfg.train.output_dir == f"{folder}_again"


def test_the_best_checkpoint_is_the_one_to_evaluate(tmp_path):
    for name in ("last_checkpoint", "model_best.pth"):
        (tmp_path / name).write_text("model_final.pth")
    assert f"train.init_checkpoint={tmp_path}/model_best.pth" in run_commands(tmp_path, evaluated=True)


def test_the_iterations_are_those_of_the_run_and_not_of_the_recipe(folder):
    cfg = recipe(folder, dataloader={"train": {"total_batch_size": 8}})
    assert run_facts(cfg, read_curves(folder / "metrics.json"))["Training"] == "20 iterations of 8 images, seed 3"
    cfg.train.max_iter = 50  # stopped early, or resumed from a run with another schedule
    facts = run_facts(cfg, read_curves(folder / "metrics.json"))
    assert facts["Training"] == "20 iterations of 50 planned, 8 images each, seed 3"


def test_a_resumed_run_says_so(folder):
    _write_page(recipe(folder), Namespace(config_file="a.py"), trained=True, start_iter=12)
    assert facts_of((folder / "index.html").read_text())["Resumed"] == "after 12 iterations"


def test_an_evaluation_of_weights(folder):
    cfg = recipe(folder, train={"init_checkpoint": "eva.pth"})
    html = write_run_report(cfg, {"accuracy": {"top1": 71.5}}, config_file="a/config.yaml").read_text()
    assert f"<h1>{folder.name}</h1>" in html
    html = write_run_report(cfg, {"accuracy": {"top1": 71.5}}, config_file="a.py", trained=False).read_text()
    assert "<h1>a</h1>" in html
    facts = facts_of(html)
    assert facts.pop("Machine")
    assert facts == {"Recipe": "a.py", "Model": "Classifier", "Weights": "eva.pth"}
    assert f"evaluate --config-file {folder}/config.yaml --trust-recipe a.py train.init_checkpoint=eva.pth" in html
    assert "tools train" not in html


def test_the_last_evaluation_is_explained(folder, warnings):
    section = {"title": "Classes", "parts": [], "note": "Two are wrong.", "collapsed": False}
    (folder / "explanation.json").write_text(json.dumps([section]))
    html = write_run_report(recipe(folder)).read_text(encoding="utf-8")
    assert "Two are wrong." in html
    (folder / "explanation.json").write_text('[{"title": "Classes", "parts": [{"kind": "Unknown"}]}]')
    assert "Two are wrong." not in write_run_report(recipe(folder)).read_text(encoding="utf-8")
    assert warnings() == ["The report does not explain the evaluation: KeyError: 'Unknown'"]


def test_a_resumed_run_counts_its_whole_time(folder):
    with (folder / "metrics.json").open("a") as file:
        file.write(json.dumps({"iteration": 39, "total_loss": 1.0, "time": 2.0, "images": 8}) + "\n")
    facts = run_facts(recipe(folder), read_curves(folder / "metrics.json"))
    assert facts["Time"].startswith("about 0:01:00 ")
    assert "Recipe" not in facts
