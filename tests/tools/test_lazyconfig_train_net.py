"""The training command, from its arguments to its output files."""

import json
import math
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from detectron2.config import instantiate
from tiny_run import CONFIGS, TINY, TINY_CASCADE, TINY_MASK, TINY_TRAINING, write_data

from eva_engine.checkpoint import read_file
from eva_engine.commands.train import main, parse_arguments
from eva_engine.config import load_config

ROOT = CONFIGS.parents[2]
COCO = "COCO/cascade_mask_rcnn_vitdet_eva.py"
LVIS = "LVIS/cascade_mask_rcnn_vitdet_eva.py"
O365 = "Objects365/cascade_rcnn_vitdet_eva_1024.py"


EVALUATE_COCO = """--num-gpus 8 --eval-only
    --config-file projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_eva_1536.py
    "train.init_checkpoint=/path/to/eva_coco_seg.pth" "model.roi_heads.use_soft_nms=True"
    'model.roi_heads.method="linear"' "model.roi_heads.iou_threshold=0.6"
    "model.roi_heads.override_score_thresh=0.0" "model.roi_heads.maskness_thresh=0.5" """
EVALUATE_LVIS = """--num-gpus 8 --eval-only
    --config-file projects/ViTDet/configs/LVIS/cascade_mask_rcnn_vitdet_eva_1536.py
    "train.init_checkpoint=/path/to/eva_lvis.pth" "dataloader.evaluator.max_dets_per_image=1000"
    "model.roi_heads.maskness_thresh=0.5" """
TRAIN = """--num-gpus 8 --num-machines 8 --machine-rank 3 --dist-url "tcp://10.0.0.1:60900"
    --config-file projects/ViTDet/configs/{}/cascade_mask_rcnn_vitdet_eva.py
    "train.init_checkpoint=/path/to/eva_o365.pth" "train.output_dir=/path/to/output" """


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (EVALUATE_COCO, {"soft": True, "method": "linear", "iou": 0.6, "score": 0.0, "maskness": 0.5}),
        (EVALUATE_LVIS, {"soft": False, "method": "linear", "iou": 0.3, "score": None, "maskness": 0.5}),
        (TRAIN.format("COCO"), {"soft": False, "method": "linear", "iou": 0.3, "score": None, "maskness": None}),
        (TRAIN.format("LVIS"), {"soft": False, "method": "linear", "iou": 0.3, "score": None, "maskness": None}),
    ],
)
def test_published_command_is_accepted_verbatim(command, expected):
    args = parse_arguments(shlex.split(command))
    assert (args.num_gpus, args.eval_only) == (8, "--eval-only" in command)
    if not args.eval_only:
        assert (args.num_machines, args.machine_rank, args.dist_url) == (8, 3, "tcp://10.0.0.1:60900")
    cfg = load_config(str(ROOT / args.config_file), args.opts)
    assert cfg.train.init_checkpoint.startswith("/path/to/eva_")
    with torch.device("meta"):
        heads = instantiate(cfg.model.roi_heads)
    selection = heads.box_selection
    assert expected == {
        "soft": selection.use_soft_nms,
        "method": selection.method,
        "iou": selection.iou_threshold,
        "score": selection.override_score_thresh,
        "maskness": heads.maskness_thresh,
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Flags of data with masks and of data without."""
    flags = {}
    for masks in (True, False):
        json_file, images = write_data(tmp_path_factory.mktemp("data") / "own", masks=masks)
        flags[masks] = {
            "train": ["--train-json", json_file, "--train-images", images],
            "val": ["--val-json", json_file, "--val-images", images],
            "json": json_file,
            "images": images,
        }
    return flags


def config(name):
    return ["--config-file", str(CONFIGS / name)]


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Output of three iterations of the published COCO recipe, shrunk, on data with masks."""
    output = tmp_path_factory.mktemp("run") / "output"
    overrides = [*TINY, *TINY_CASCADE, *TINY_MASK, *TINY_TRAINING, f"train.output_dir={output}"]
    assert main([*config(COCO), *data[True]["train"], *data[True]["val"], *overrides]) == 0
    return output


def test_training_writes_weights_metrics_results_and_names(trained):
    lines = [json.loads(line) for line in (trained / "metrics.json").read_text().splitlines()]
    losses = [line["total_loss"] for line in lines if "total_loss" in line]
    assert len(losses) == 3
    assert all(math.isfinite(loss) for loss in losses)
    results = json.loads((trained / "results.json").read_text())
    assert results.keys() == {"bbox", "segm"}
    assert results["bbox"]["APl"] is None  # there is no large object; NaN would not be JSON
    assert {"AP", "AP50", "AP-plank", "AP-square"} <= results["bbox"].keys()
    assert json.loads((trained / "categories.json").read_text()) == {
        "categories": [{"id": 7, "name": "plank"}, {"id": 900, "name": "square"}]
    }
    weights = read_file(trained / "model_final.pth")["model"]
    assert weights["roi_heads.box_predictor.2.cls_score.weight"].shape[0] == 3
    assert weights["roi_heads.mask_head.predictor.weight"].shape[0] == 2
    assert "No CUDA device" in (trained / "log.txt").read_text()


def test_evaluation_of_the_trained_weights_repeats_its_result(trained, data, tmp_path):
    overrides = [*TINY, *TINY_CASCADE, *TINY_MASK, f"train.init_checkpoint={trained}/model_final.pth"]
    command = [*config(COCO), "--eval-only", *data[True]["val"], *overrides, f"train.output_dir={tmp_path}"]
    assert main(command) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert results == json.loads((trained / "results.json").read_text())


def test_saved_config_evaluates_without_naming_the_data_again(trained, tmp_path):
    overrides = [f"train.init_checkpoint={trained}/model_final.pth", f"train.output_dir={tmp_path}"]
    assert main(["--config-file", str(trained / "config.yaml"), "--eval-only", *overrides]) == 0
    assert (tmp_path / "results.json").read_text() == (trained / "results.json").read_text()


def test_evaluation_in_the_folder_of_a_run_keeps_its_recipe(trained, data, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    before = {name: (run / name).read_text() for name in ("config.yaml", "categories.json")}
    overrides = [f"train.init_checkpoint={run}/model_final.pth", f"train.output_dir={run}"]
    assert main(["--config-file", str(run / "config.yaml"), "--eval-only", *data[False]["val"], *overrides]) == 0
    assert json.loads((run / "results.json").read_text()).keys() == {"bbox"}
    assert {name: (run / name).read_text() for name in before} == before


def test_saved_config_trains_again_to_the_same_losses(trained, tmp_path):
    assert main(["--config-file", str(trained / "config.yaml"), f"train.output_dir={tmp_path}"]) == 0
    losses = [
        [line["total_loss"] for line in map(json.loads, (folder / "metrics.json").open()) if "total_loss" in line]
        for folder in (trained, tmp_path)
    ]
    assert losses[0] == losses[1]
    assert (tmp_path / "index.html").is_file()


def test_new_run_into_the_folder_of_an_earlier_one_is_refused(trained, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in trained.iterdir()}
    assert main(["--config-file", str(trained / "config.yaml"), f"train.output_dir={trained}"]) == 2
    assert (
        "contains checkpoints of an earlier run, the last one is model_final.pth; add --resume"
        in capsys.readouterr().err
    )
    assert {path.name: path.stat().st_mtime_ns for path in trained.iterdir()} == before


def test_resumed_run_continues_after_the_last_iteration(trained, data, tmp_path):
    for name in ("model_final.pth", "last_checkpoint"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    overrides = [*TINY, *TINY_CASCADE, *TINY_MASK, *TINY_TRAINING, f"train.output_dir={tmp_path}", "train.max_iter=5"]
    overrides.append("train.checkpointer.period=0")
    assert main([*config(COCO), "--resume", *data[True]["train"], *overrides]) == 0
    lines = [json.loads(line) for line in (tmp_path / "metrics.json").read_text().splitlines()]
    assert [line["iteration"] for line in lines if "total_loss" in line] == [3, 4]
    assert not (tmp_path / "results.json").exists()  # no validation data was given
    before, after = (read_file(folder / "model_final.pth")["model"] for folder in (trained, tmp_path))
    name = "roi_heads.box_predictor.0.bbox_pred.weight"
    assert not torch.equal(before[name], after[name])
    torch.testing.assert_close(before[name], after[name], rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", [COCO, LVIS, O365, "COCO/mask_rcnn_vitdet_b_100ep.py"])
def test_any_recipe_trains_on_data_without_masks(name, data, tmp_path):
    heads = TINY_CASCADE
    if "cascade" not in name:
        heads = [o.replace("heads.0", "head").replace("predictors.0", "predictor") for o in TINY_CASCADE[:4]]
    overrides = [*TINY, *heads, *TINY_TRAINING, f"train.output_dir={tmp_path}", "train.max_iter=1"]
    assert main([*config(name), *data[False]["train"], *data[False]["val"], *overrides]) == 0
    assert json.loads((tmp_path / "results.json").read_text()).keys() == {"bbox"}
    weights = read_file(tmp_path / "model_final.pth")["model"]
    assert not any("mask_head" in entry or "fed_loss" in entry for entry in weights)


def test_error_in_the_data_keeps_the_finished_iterations(tmp_path, capsys):
    json_file, images = write_data(tmp_path / "data")
    broken = Path(images) / "11.png"
    broken.write_bytes(broken.read_bytes()[:200])
    command = [*config(COCO), "--train-json", json_file, "--train-images", images]
    command += [*TINY, *TINY_CASCADE, *TINY_MASK, *TINY_TRAINING, f"train.output_dir={tmp_path}"]
    # Seed 2 draws the broken image after some good ones.
    command += ["train.max_iter=50", "dataloader.train.total_batch_size=1", "train.seed=2"]
    assert main(command) == 2
    out, err = capsys.readouterr()
    assert err.splitlines()[-1] == (
        f"error: {broken}: not a readable image file (OSError: image file is truncated); replace or remove the file."
    )
    assert "Traceback" not in out + err
    assert f"Stopped: {broken}: not a readable image" in (tmp_path / "log.txt").read_text()
    saved = read_file(tmp_path / (tmp_path / "last_checkpoint").read_text())
    assert saved["iteration"] < 49

    resumed = [*command, "train.max_iter=10", "dataloader.train.mapper.on_error=skip"]
    assert main(["--resume", *resumed]) == 0
    assert read_file(tmp_path / "model_final.pth")["iteration"] == 9


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--eval-only"], "--eval-only was given without weights; add train.init_checkpoint=FILE"),
        (["--eval-only", "train.init_checkpoint=none.pth"], "none.pth does not exist"),
        (["--num-gpus", "0"], "--num-gpus is 0, but must be at least 1"),
        (["train.max_itr=3"], "did you mean train.max_iter?"),
        (["dataloader.train.total_batch_size=0"], "dataloader.train.total_batch_size=0 cannot be split"),
    ],
)
def test_unusable_command_is_refused_with_one_sentence(arguments, sentence, data, tmp_path, capsys):
    flags = [flag for flag in arguments if "=" not in flag]
    own = [*data[True]["train"], *data[True]["val"]]
    overrides = [*TINY, *TINY_CASCADE, *TINY_MASK, f"train.output_dir={tmp_path}"]
    assert main([*config(COCO), *flags, *own, *overrides, *[a for a in arguments if "=" in a]]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert sentence in error


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--train-json", "JSON"], "--train-json was given without --train-images"),
        (["--val-images", "IMAGES"], "--val-images was given without --val-json"),
        (["--train-json", "JSON", "--train-images", "JSON"], "is not a folder"),
        (["--train-json", "none.json", "--train-images", "IMAGES"], "none.json: no such annotation file"),
        (["--val-json", "JSON", "--val-images", "IMAGES"], "there is no custom data to train on"),
        (["--train-json", "JSON", "--train-images", "IMAGES", "--val-json", "OTHER", "--val-images", "IMAGES"], "beam"),
        ([], "instances_train2017.json: no such annotation file"),
    ],
)
def test_unusable_data_is_refused_with_one_sentence(flags, sentence, data, tmp_path, capsys, monkeypatch):
    other = tmp_path / "other.json"
    content = json.loads(Path(data[True]["json"]).read_text())
    content["categories"][1]["name"] = "beam"
    other.write_text(json.dumps(content))
    names = {"JSON": data[True]["json"], "IMAGES": data[True]["images"], "OTHER": str(other)}
    monkeypatch.chdir(tmp_path)
    overrides = [*TINY, *TINY_CASCADE, *TINY_MASK, *TINY_TRAINING, f"train.output_dir={tmp_path / 'output'}"]
    assert main([*config(COCO), *(names.get(flag, flag) for flag in flags), *overrides]) == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]
