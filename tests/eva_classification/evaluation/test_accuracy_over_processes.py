"""Two real processes: the numbers of one, also where the images do not divide."""

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from image_folders import write_image_folders

from eva_classification.data import EvaluationMapper, ImageCollate, ImageDataset
from eva_classification.evaluation import ClassificationEvaluator
from eva_classification.transforms import evaluation_transform
from eva_engine.data import EvalLoader


def evaluate(folder: Path) -> dict:
    records = ImageDataset(str(folder / "images"))
    mapper = EvaluationMapper(evaluation_transform(14))
    evaluator = ClassificationEvaluator()
    for batch in EvalLoader(records, mapper=mapper, collate=ImageCollate(), batch_size=2, repeat_to_multiple_of=8):
        evaluator.process(batch, batch["image"].flatten(1)[:, :12])
    return evaluator.evaluate()


def process(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/join", rank=rank, world_size=2)
    (folder / f"{rank}.json").write_text(json.dumps(evaluate(folder)))
    dist.destroy_process_group()


def test_two_processes_give_the_numbers_of_one(tmp_path):
    write_image_folders(tmp_path / "images", per_class=7)
    alone = evaluate(tmp_path)
    mp.set_forkserver_preload(["eva_classification.evaluation", "eva_classification.data"])
    mp.start_processes(process, args=(tmp_path,), nprocs=2, start_method="forkserver")
    together, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert other == {}
    assert together.keys() == alone.keys()
    for task, metrics in alone.items():
        assert together[task] == pytest.approx(metrics)
    assert alone["accuracy"]["loss"] != alone["accuracy_published"]["loss"]
