"""Make the helpers of the detection evaluator's tests importable, which the gathering tests use."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "detectron2_ext" / "evaluation"))
