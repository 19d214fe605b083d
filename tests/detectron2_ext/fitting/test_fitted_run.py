"""The command `train` fits the recipe, and a run stores and keeps what was measured."""

from eva_engine.commands import train
from eva_engine.config import load_config

TINY = "projects/ViTDet/configs/custom/tiny_cpu.py"


def test_a_run_stores_what_was_measured_and_goes_on_with_it(write_data, tmp_path):
    data = write_data((128, 96), [[(24, 24)] * 2, [(24, 24)]])
    output = tmp_path / "run"
    arguments = ["--train-json", data.train_json, "--train-images", data.train_images]
    overrides = [f"train.output_dir={output}", "train.max_iter=1", "model.pixel_std=[9,9,9]"]
    overrides += ["dataloader.train.total_batch_size=1", "fit.image_side=64"]
    assert train.main(["--config-file", TINY, *arguments, *overrides]) == 0
    saved = load_config(str(output / "config.yaml"))
    assert saved.model.pixel_mean == [50, 100, 150]
    assert saved.model.pixel_std == [9, 9, 9]
    assert saved.measured.pixel_std == [50, 1, 50]
    assert saved.measured.objects == 3
    assert saved.fit is None
    log = (output / "log.txt").read_text()
    assert "Fit: model.pixel_mean=[50.0, 100.0, 150.0] (measured in 2 images)" in log
    assert "Fit: model.pixel_std is kept as given instead of [50.0, 1.0, 50.0]" in log

    assert train.main(["--resume", "--config-file", str(output / "config.yaml"), "train.max_iter=2"]) == 0
    assert load_config(str(output / "config.yaml")).measured == saved.measured
