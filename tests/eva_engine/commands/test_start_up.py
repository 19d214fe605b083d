"""Mistakes that need no model are reported before PyTorch is imported, and commands import only what they need."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from eva_engine.commands.thread_waiting import let_idle_threads_sleep

ROOT = Path(__file__).parents[3]
RECIPE = str(ROOT / "projects/ViTDet/configs/demo/cascade_mask_rcnn_vitdet_eva_tiny_hela.py")
RUN_COMMAND = """
import json, sys
from eva_engine.commands.verbs import main
status = main(sys.argv[1:])
print(json.dumps([status, sorted(sys.modules)]))
"""


def run(code: str, *arguments: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    inherited = {name: value for name, value in os.environ.items() if name not in names}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def status_and_modules(done: subprocess.CompletedProcess) -> tuple[int, set[str]]:
    assert done.returncode == 0, done.stderr
    status, modules = json.loads(done.stdout.splitlines()[-1])
    return status, set(modules)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["train"], "no config file was given"),
        (["train", "--config-file", "missing.py"], "the config file missing.py does not exist"),
        (["train", "--config-file", RECIPE, "max_iter"], "the override max_iter cannot be parsed; write key=value"),
        (["train", "--config-file", RECIPE, "--weights", "missing.pth"], "missing.pth does not exist"),
        (
            ["train", "--config-file", RECIPE, "train.output_dir=file/out"],
            "file/out cannot be written (Not a directory)",
        ),
        (["train", "--config-file", RECIPE, "--dtype", "bfloat16"], "--dtype is for evaluate; set train.amp.enabled"),
        (["evaluate", "--lr-range-test", "9"], "--lr-range-test tries a new training run; omit --eval-only"),
        (["train", "--resume", "--lr-range-test", "9"], "--lr-range-test tries a new training run; omit --resume"),
        (["train", "--dry-run", "--lr-range-test", "9"], "--dry-run and --lr-range-test exclude each other"),
        (["evaluate"], "neither weights nor a config file were given"),
        (["evaluate", "--weights", "missing.pth"], "missing.pth does not exist"),
        (["evaluate", "--weights", "eva_coco_sek"], "eva_coco_sek is neither a file nor the name of published weights"),
        (["predict", "--weights", "missing.pth", "--input", "file"], "missing.pth does not exist"),
        (["predict", "--weights", "file", "--input", "file"], "file is not a weight file"),
        (["predict", "--weights", "eva_coco_seg", "--input", "missing.jpg"], "no image or video in missing.jpg"),
        (
            ["predict", "--weights", "eva_coco_seg", "--input", "file", "--output", "file"],
            "cannot be written (File exists)",
        ),
        (["plan", "--config-file", "missing.yaml"], "the config file missing.yaml does not exist"),
        (["inspect", "missing.pth", "file"], "file is not a weight file"),
        (["weights", "verify", "eva_coco_sek"], "eva_coco_sek is neither a file nor the name"),
        (["export", "missing.pth", "out.pth"], "missing.pth does not exist"),
        (["export-timm", "missing.pth", "out.safetensors"], "missing.pth does not exist"),
        (["export-open-clip", "missing.pth", "out.safetensors"], "missing.pth does not exist"),
        (["join-clip-towers", "missing.pth", "file", "out.pt"], "missing.pth does not exist"),
        (["interpolate-patch", "missing.pth", "out.pth"], "missing.pth does not exist"),
        (["demo-detection", "--output", "file/out"], "--output file/out cannot be created (Not a directory)"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_mistakes_are_reported_without_torch(command, message, tmp_path):
    (tmp_path / "file").write_text("neither an image nor weights")
    done = run(RUN_COMMAND, *command, folder=tmp_path)
    status, modules = status_and_modules(done)
    assert status == 2
    assert message in done.stderr.splitlines()[-1]
    assert not {"torch", "detectron2", "timm", "torchvision"} & modules
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_each_unusable_file_is_named_by_inspect(tmp_path):
    done = run(RUN_COMMAND, "inspect", "first.pth", "second.pth", folder=tmp_path)
    assert [line.split()[1] for line in done.stderr.splitlines()] == ["first.pth", "second.pth"]


def test_a_wrong_key_is_reported_without_the_compiler():
    done = run(RUN_COMMAND, "train", "--config-file", RECIPE, "train.max_itr=5")
    status, modules = status_and_modules(done)
    assert status == 2
    assert done.stderr == "error: train.max_itr is not a key of this config; did you mean train.max_iter?\n"
    assert "torch" in modules
    slow = {"matplotlib", "sympy", "timm.models.beit", "torch._dynamo", "torch.distributed.fsdp", "torch._inductor"}
    assert not slow & modules


PREDICTION = """
from eva_engine.commands.import_time import defer_slow_imports
defer_slow_imports()
from eva_engine.config import load_config, task_of_config
from eva_engine.prediction import predict_files
task = task_of_config(load_config(sys.argv[1]))
task.load("predictor"), task.load("file_task")
"""


def test_prediction_imports_neither_the_compiler_nor_the_models_of_timm():
    done = run(f"import json, sys\n{PREDICTION}print(json.dumps([0, sorted(sys.modules)]))", RECIPE)
    _, modules = status_and_modules(done)
    assert not {"matplotlib", "sympy", "timm.models.beit", "torch._dynamo", "torch.distributed.fsdp"} & modules


DEFERRED = """
import gc, sys
from eva_engine.commands.import_time import defer_slow_imports
defer_slow_imports()
import torch, torchvision
assert gc.isenabled()
assert "torch._dynamo" not in sys.modules and "torch._dynamo.utils" not in sys.modules
from importlib.metadata import version
from timm.layers import Mlp
import timm
assert timm.__version__ == version("timm") and "timm.models.beit" not in sys.modules
# The compiler and the models are there when they are used.
assert torchvision.ops.roi_align.__module__ == "torchvision.ops.roi_align"
assert sys.modules["torchvision.ops.roi_align"].is_compile_supported("cpu") is True
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)).item() == 2
assert timm.create_model("vit_tiny_patch16_224", depth=1).patch_embed.__class__ is timm.layers.PatchEmbed
assert timm.is_model("eva_giant_patch14_224")
try:
    timm.no_such_name
except AttributeError as error:
    print(error)
"""


def test_deferred_packages_are_complete_when_they_are_used():
    done = run(DEFERRED)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "module 'timm' has no attribute 'no_such_name'\n"


@pytest.mark.parametrize(
    "statement",
    [
        "from timm.models.eva import Eva",
        "from timm.models import create_model",
        "from timm.models.beit import Beit",
        "from timm.data import create_transform, Mixup",
        "from timm.utils import ModelEmaV3",
        "from timm.optim import Lamb",
        "import timm.models.vision_transformer",
    ],
)
def test_any_module_of_timm_can_be_imported_first(statement):
    done = run(
        "from eva_engine.commands.import_time import defer_slow_imports\ndefer_slow_imports()\n"
        f"{statement}\nimport timm\nfrom timm.models.eva import Eva\n"
        "assert type(timm.create_model('eva02_tiny_patch14_224', depth=1)) is Eva\n"
        "assert timm.models.create_model is timm.create_model\n"
        "import timm.models.beit\nassert timm.models.beit.Beit is timm.models.Beit\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "chosen", [{}, {"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "1000"}, {"KMP_BLOCKTIME": "200"}]
)
def test_idle_threads_sleep_unless_the_user_has_chosen(chosen, monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.setenv(name, "")  # restored afterwards
        monkeypatch.delenv(name)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    let_idle_threads_sleep()  # PyTorch has read its settings already
    assert os.environ.get("OMP_WAIT_POLICY") == chosen.get("OMP_WAIT_POLICY")
    monkeypatch.delitem(sys.modules, "torch")
    let_idle_threads_sleep()
    assert os.environ.get("OMP_WAIT_POLICY") == (chosen.get("OMP_WAIT_POLICY") if chosen else "passive")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere PyTorch has another OpenMP runtime")
def test_the_runtime_of_pytorch_reads_the_setting(tmp_path):
    # How often libgomp checks before a thread sleeps; it prints the default policy as PASSIVE, too.
    spinning, sleeping = "GOMP_SPINCOUNT = '300000'", "GOMP_SPINCOUNT = '0'"
    code = f"{RUN_COMMAND}\nimport torch"
    done = run(code, "export", "missing.pth", "out.pth", folder=tmp_path, OMP_DISPLAY_ENV="verbose")
    assert sleeping in done.stderr
    done = run("import eva_engine.commands.verbs, torch", folder=tmp_path, OMP_DISPLAY_ENV="verbose")  # a library
    assert spinning in done.stderr
