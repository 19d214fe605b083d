"""A run whose folder was moved finds the files in it: it is evaluated, resumed and used for prediction."""

import re
import shutil
from pathlib import Path

from annotated_data import save_images, voc_xml

from detectron2_ext.importing.conversion import DataRequest, convert_once
from eva_engine.commands import predict, train
from eva_engine.config import load_config

TINY = "projects/ViTDet/configs/custom/tiny_cpu.py"


def _voc(folder: Path) -> Path:
    save_images(folder, ["a", "b", "c", "d"])
    for name in ("a", "b", "c", "d"):
        (folder / f"{name}.xml").write_text(voc_xml(f"{name}.png", [("nut", (1, 1, 10, 10), 0)]))
    return folder


def test_a_moved_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = _voc(tmp_path / "voc")
    overrides = ["train.output_dir=first/run", "train.max_iter=1", "fit.image_side=64"]
    overrides += ["dataloader.train.total_batch_size=1", "dataloader.train.num_workers=0"]
    command = ["--config-file", TINY, "--train-data", str(data), "--val-share", "0.25", *overrides]
    assert train.main(command) == 0
    assert load_config("first/run/config.yaml").train.output_dir == str(tmp_path / "first/run")

    moved = tmp_path / "second/run"
    moved.parent.mkdir()
    (tmp_path / "first/run").rename(moved)
    (tmp_path / "first").rmdir()
    present = load_config(str(moved / "config.yaml"))
    assert present.train.output_dir == str(moved)
    paths = present.dataloader.custom_data
    assert Path(paths.train_json).parents[2] == moved
    assert (paths.train_images, paths.val_images) == (str(data), str(data))

    assert train.main(["--eval-only", "--weights", str(moved)]) == 0
    stored = load_config(str(tmp_path / "second/run_evaluation/config.yaml"))
    assert stored.dataloader.custom_data.val_json == paths.val_json
    assert predict.main(["--weights", str(moved), "--input", str(data / "a.png"), "--output", "predicted"]) == 0
    assert train.main(["--resume", "--config-file", str(moved / "config.yaml"), "train.max_iter=2"]) == 0
    assert f"Resuming from {moved}/model_final.pth at iteration 1 of 2" in (moved / "log.txt").read_text()
    assert load_config(str(moved / "config.yaml")).train.output_dir == str(moved)
    assert not (tmp_path / "first").exists()

    # A copy of the config elsewhere is a recipe for the same files.
    shutil.copy(moved / "config.yaml", tmp_path / "config.yaml")
    copied = load_config(str(tmp_path / "config.yaml"))
    assert copied.dataloader.custom_data == paths
    assert copied.train.output_dir == str(moved)
    shutil.rmtree(moved / "data")
    capsys.readouterr()
    assert train.main(["--eval-only", "--weights", str(moved)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"error: .*/data/imported_\w+/train\.json: no such annotation file; check the path\.", error)


def test_a_moved_conversion(tmp_path):
    data = _voc(tmp_path / "voc")
    request = DataRequest(train=str(data), val_share=0.25)
    before = convert_once(request, tmp_path / "run/data", "")
    (tmp_path / "run").rename(tmp_path / "moved")
    after = convert_once(request, tmp_path / "moved/data", "")
    for part in ("train", "val"):
        assert after[part].json_file == before[part].json_file.replace("/run/", "/moved/")
        assert Path(after[part].json_file).is_file()
        assert after[part].images == str(data)
