"""The published file of the made-up task of `test_sixth_task.py`."""

import io
from pathlib import Path

import torch

SIXTH_TASK = Path(__file__).parents[1] / "sixth_task"
FILE = "example/rotation/weights/rotation_tiny.pth"


def weight_file(width: int) -> bytes:
    """Return the content of a weight file of the task's recipe, whose model has the width 32."""
    from rotation_task.model import RotationModel

    model = RotationModel(img_size=28, patch_size=14, embed_dim=width, depth=2, num_heads=2, mlp_ratio=2.0)
    content = io.BytesIO()
    torch.save({"model": model.state_dict()}, content)
    return content.getvalue()
