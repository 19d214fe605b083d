"""The benchmark of formats: figures, the table, and a run of the command."""

import json
import subprocess
import sys
from functools import partial
from types import SimpleNamespace

import pytest
from tiny_exports import tiny_classifier, write_photos

from eva_deploy.benchmark import rounds
from eva_deploy.benchmark.accuracy import main_metrics
from eva_deploy.benchmark.report import figures_table
from eva_deploy.benchmark.variant import Figures, Round, Variant, quartiles
from eva_engine.commands.verbs import main


def test_the_table_and_its_document(tmp_path, capsys):
    tiny, photos = tiny_classifier(tmp_path), write_photos(tmp_path / "photos", 2)
    file = tmp_path / "figures.json"
    options = ["--formats", "torch,onnx", "--dtype", "float32,bfloat16", "--rounds", "2", "--json", str(file)]
    assert main(["benchmark", *tiny.arguments, *options, "--images", str(photos)]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["format", "latency"]
    assert [row.split()[:2] for row in rows[:3]] == [["torch", "float32"], ["torch", "bfloat16"], ["onnx", "float32"]]
    assert rows[3].startswith("onnx bfloat16: not measured: the export failed: ")
    document = json.loads(file.read_text())
    first, *_, last = document["variants"]
    assert [len(times) for times in first["rounds"]] == [2, 2]
    low, high = first["latency_seconds"]["quartiles"]
    assert 0 < low <= first["latency_seconds"]["median"] <= high
    assert first["peak_bytes"] > 100e6
    assert list(last) == ["format", "dtype", "problem"]
    assert document["images"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--formats", "torch,tensorrt"], "invalid list of torch, compile, onnx, openvino value"),
        (["--dtype", "int4"], "invalid list of float32, bfloat16, float16, int8 value"),
    ],
)
def test_unknown_formats_and_types(options, message, capsys):
    with pytest.raises(SystemExit):
        main(["benchmark", "--weights", "x", *options])
    assert message in capsys.readouterr().err


def test_8_bits_are_those_of_openvino_with_images(tmp_path, capsys):
    tiny, photos = tiny_classifier(tmp_path), write_photos(tmp_path / "photos", 2)
    file = tmp_path / "figures.json"
    options = ["--formats", "torch,openvino", "--rounds", "1", "--json", str(file), "--images", str(photos)]
    assert main(["benchmark", *tiny.arguments, *options, "--dtype", "int8"]) == 2
    assert "--dtype int8 and --calibration PATH" in capsys.readouterr().err
    given = ["--dtype", "float32,int8", "--calibration", str(photos)]
    assert main(["benchmark", *tiny.arguments, *options, *given]) == 0
    _, refused, exact, quantized = json.loads(file.read_text())["variants"]
    assert refused == {"format": "torch", "dtype": "int8", "problem": "8 bits are offered for OpenVINO only."}
    assert (exact["dtype"], quantized["dtype"]) == ("float32", "int8")
    assert quantized["processor_seconds"] > 0


def test_missing_weights_and_folders(tmp_path, capsys):
    assert main(["benchmark", "--weights", str(tmp_path / "none.pth")]) == 2
    tiny = tiny_classifier(tmp_path)
    assert main(["benchmark", *tiny.arguments, "--json", f"{tiny.weights}/figures.json"]) == 2
    assert "give another --json" in capsys.readouterr().err


def figures(*rounds: list[float], top1: float = 90.0) -> Figures:
    return Figures(1.0, 2.0, [Round(times, sum(times), 2 * sum(times)) for times in rounds], 3 * 2**20, {"top1": top1})


def test_ratios_are_those_of_rounds():
    # In the second round the machine is ten times slower.
    slow = figures([2.0, 2.0], [20.0, 20.0], [2.0, 2.0])
    fast = figures([1.0, 1.0], [10.0, 10.0], [1.0, 0.6], top1=89.25)
    assert fast.faster_than(slow) == 2
    assert fast.photos_per_second == 0.5
    failed = Figures(problem="no compiler")
    of_variants = dict(zip(("torch", "onnx", "compile"), (slow, fast, failed), strict=True))
    rows = figures_table({Variant(name, "float32"): found for name, found in of_variants.items()})
    assert rows[1].split("  ")[0] == "torch float32"
    for cell in ("2000.0 ms (2000.0 to 15500.0)", "0.25", "2.0 s", "3 MiB", "1.00x, 1.00x", "top1 90.00"):
        assert cell in rows[1]
    assert rows[1].endswith("top1 90.00")
    assert "2.00x, 2.00x" in rows[2]
    assert rows[2].endswith("top1 89.25 (-0.75)")
    assert rows[3] == "compile float32: not measured: no compiler"


def test_an_evaluation_that_fails_loses_no_figures(tmp_path, capsys):
    tiny, photos = tiny_classifier(tmp_path), write_photos(tmp_path / "photos", 1)
    options = ["--formats", "torch", "--rounds", "1", "--images", str(photos), "--evaluate"]
    missing = f"dataloader.test.dataset.root={tmp_path}/nowhere"
    assert main(["benchmark", *tiny.arguments, missing, *options]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[1].startswith("torch float32")
    assert "error: torch float32 was not evaluated: " in printed.err


def test_a_process_that_prints_much_before_it_fails_is_not_waited_for(monkeypatch):
    failing = "import sys; sys.stderr.write('x' * 10**6 + '\\nno compiler\\n'); sys.exit(1)"
    started = SimpleNamespace(PIPE=subprocess.PIPE, Popen=partial(run_instead, failing))
    monkeypatch.setattr(rounds, "subprocess", started)
    found = Figures()
    with rounds.MeasuringProcess({}, found) as process:
        process.wait_until_loaded()
    assert found.problem == "no compiler"


def run_instead(code: str, _command: list[str], **options) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code], **options)


def test_quartiles():
    assert quartiles([5.0]) == (5, 5, 5)
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2, 3, 4)


def test_main_metrics():
    results = {"bbox": {"AP": 80.2, "AP50": 95.0}, "segm": {"AP": 86.7}, "num": {"classes": {"x": 1}}}
    assert main_metrics(results) == {"bbox AP": 80.2, "segm AP": 86.7, "num classes x": 1}
