"""What the base dependencies give: backbone, classifier, weight files and the table of commands."""

import subprocess
import sys
from pathlib import Path

import pytest

from eva_engine.commands.missing_package import how_to_install

ROOT = Path(__file__).parent.parent
# What the extras add and no base package brings along.
ABSENT = (
    "detectron2 av cloudpickle cv2 fvcore hotcoco hydra iopath matplotlib omegaconf open_clip peft pycocotools shapely "
    "tabulate tensorboard termcolor transformers yacs"
)
BLOCK = f"""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}.split():
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
"""
# After timm: torch asks for all sorts of packages while it is imported.
BLOCK += "import torch, timm; sys.meta_path.insert(0, Absent())\n"


def run(code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    path = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", BLOCK + code, *arguments],
        cwd=folder,
        env=path,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def test_a_picture_is_classified(tmp_path):
    code = (ROOT / ".ci" / "classify_in_python.py").read_text()
    ended = run(code, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("class ")


COMMANDS = """
import eva_clip, eva_semseg, eva_video
from detectron2_ext.commands.verbs import main
assert main([]) == 0
for verb in ("train", "evaluate", "plan"):
    assert main([verb, "--config-file", "projects/Classification/configs/in1k_336.py"]) == 2
"""


def test_models_import_and_commands_say_how_to_install_detectron2(tmp_path):
    ended = run(COMMANDS, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "demo-segmentation" in ended.stdout
    lines = ended.stderr.splitlines()
    assert [line.partition(" and what it stands on, of which ")[0] for line in lines] == [
        f"error: {verb} needs Detectron2" for verb in ("train", "evaluate", "plan")
    ]
    assert "-r requirements/detectron2.txt" in lines[0]
    assert (ROOT / "requirements/detectron2.txt").is_file()


@pytest.mark.parametrize(
    ("missing", "expected"), [("open_clip.tokenizer", "the package open_clip"), ("eva_clip.lost", None), (None, None)]
)
def test_a_missing_package_is_named(missing, expected):
    advice = how_to_install(ModuleNotFoundError("No module", name=missing))
    assert advice is expected is None or expected in advice
