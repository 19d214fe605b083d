"""Run a prepare script from the command line."""

import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "datasets"


def run_script(name: str, *arguments: object, root: Path | None = None) -> subprocess.CompletedProcess:
    environment = {"PATH": "", "DETECTRON2_DATASETS": str(root)} if root else {"PATH": ""}
    command = [sys.executable, SCRIPTS / name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=240)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
