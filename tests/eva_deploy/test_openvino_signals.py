"""Signals arrive after exported models of OpenVINO are deleted, in whatever order."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino
from openvino import opset13

from eva_deploy.formats.openvino_format import write_openvino
from eva_deploy.metadata import Metadata

# A process of its own, because one that fails is killed by the signal.
PROGRAM = """
import signal, sys
from pathlib import Path
from eva_deploy.formats.table import load_graph, read_metadata

path = Path(sys.argv[1])
first = load_graph(path, read_metadata(path), "cpu")
second = load_graph(path, read_metadata(path), "cpu")
del first
del second
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
signal.raise_signal(signal.SIGTERM)
"""


def test_signals_after_models_are_deleted_in_the_order_of_their_creation(tmp_path: Path):
    numbers = opset13.parameter([1, 3], np.float32, name="numbers")
    metadata = Metadata(
        format="openvino",
        task="detection",
        dtype="float32",
        graph="relu",
        graphs={"relu": {"inputs": [{"name": "numbers", "dtype": "float32", "shape": [1, 3]}], "outputs": ["relu"]}},
        class_names=(),
        settings={},
        recipe="",
        project="",
        details={},
    )
    file = tmp_path / "model.xml"
    write_openvino(openvino.Model([opset13.relu(numbers)], [numbers], "relu"), metadata, file, compress_to_fp16=False)
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(file)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
