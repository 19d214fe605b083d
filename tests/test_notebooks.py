"""The notebooks run, with tiny models of random weights in place of the published ones, and have no outputs in git."""

import json
import os
import shutil
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient
from PIL import Image

from eva_engine.config import load_config, save_config
from eva_engine.config.instantiation import instantiate

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
DETECTOR = "projects/ViTDet/configs/demo/cascade_mask_rcnn_vitdet_eva_tiny_hela.py"
CLIP = "projects/CLIP/configs/demo/eva_clip_tiny_digits.py"
MODELS = {"detect": DETECTOR, "export": DETECTOR, "features": DETECTOR, "clip_zero_shot": CLIP}


def write_run(folder: Path, recipe: str) -> None:
    torch.manual_seed(0)
    cfg = load_config(str(ROOT / recipe))
    folder.mkdir()
    save_config(cfg, folder / "config.yaml")
    torch.save({"model": instantiate(cfg.model).state_dict()}, folder / "model_0000001.pth")


def write_photo(path: Path, seed: int = 0) -> None:
    blocks = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    Image.fromarray(blocks).resize((160, 120)).save(path)


def write_coco(folder: Path) -> None:
    folder.mkdir()
    images, annotations = [], []
    for index in range(10):
        write_photo(folder / f"{index}.jpg", index)
        images.append({"id": index, "file_name": f"{index}.jpg", "width": 160, "height": 120})
        box = [10 + index, 20, 40, 30]
        annotations.append({"id": index, "image_id": index, "category_id": 1, "bbox": box, "area": 1200, "iscrowd": 0})
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    (folder / "annotations.json").write_text(json.dumps(document))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")  # as in an active environment
    for name in ("projects", "tools"):  # commands are run in a checkout
        (tmp_path / name).symlink_to(ROOT / name)
    write_photo(tmp_path / "photo.jpg")
    if path.stem in MODELS:
        write_run(tmp_path / "run", MODELS[path.stem])
        parameters = 'WEIGHTS = "run"\nPHOTO = "photo.jpg"\nLABELS = ["one", "two"]'
    else:
        write_coco(tmp_path / "photos")
        options = "train.max_iter=2 train.eval_period=0"
        parameters = f'DATA = "photos"\nRUN = "output/mine"\nOPTIONS = "{options}"'
    notebook = nbformat.read(path, as_version=4)
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    cell.source = parameters
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_have_no_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs")
        assert not cell.get("execution_count")
