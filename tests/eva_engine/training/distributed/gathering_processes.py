"""Processes of the gathering tests."""

import json
import tracemalloc
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.samplers import InferenceSampler
from evaluation_cases import CaseOptions, make_case
from model_outputs import evaluate, model_outputs

from detectron2_ext.evaluation import COCOEvaluator
from eva_engine.processes import new_cpu_group, run_on_rank_zero
from eva_engine.training.distributed import gathering

CLASSES = {7: 0, 30: 1, 31: 2}
CHUNK_SIZE = 500
RECORDS_PER_PROCESS = 5_000


def run_processes(world_size: int, folder: Path) -> list[dict]:
    """Return the results of `_observe` in each process."""
    # The slow imports happen once, in the server that processes are forked from.
    mp.set_forkserver_preload(["detectron2_ext.evaluation"])
    mp.start_processes(_process, args=(world_size, folder), nprocs=world_size, start_method="forkserver")
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(world_size)]


def _process(rank: int, world_size: int, folder: Path) -> None:
    torch.set_num_threads(1)
    alone = _evaluate(folder / f"alone_{rank}", 0, 1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/join", rank=rank, world_size=world_size)
    seen = _observe(rank, world_size, folder) | {"alone": alone}
    (folder / f"{rank}.json").write_text(json.dumps(seen))
    dist.destroy_process_group()


def _observe(rank: int, world_size: int, folder: Path) -> dict:
    own = [{"rank": rank, "number": number} for number in range((7, 0, 6)[rank])]
    return {
        "gathered": gathering.gather_records(own, chunk_size=3),
        "left": own,
        "values": gathering.gather_values(rank * 10),
        "metrics": _evaluate(folder / "together", rank, world_size),
        "rank_zero": run_on_rank_zero(lambda: f"from {rank}"),
        "broadcast": run_on_rank_zero(lambda: f"from {rank}", new_cpu_group(), broadcast_result=True),
        "wrong_image": _error_text(lambda: _evaluate(folder / "wrong", rank, world_size, wrong_image=True)),
        "defect": _error_text(lambda: run_on_rank_zero(lambda: {}["missing"])),
        "memory": _memory(rank),
    }


def _error_text(work) -> str:
    try:
        return f"no error but {work()}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _evaluate(folder: Path, rank: int, world_size: int, wrong_image: bool = False) -> dict:
    """Evaluate this process's part of the images of a synthetic dataset."""
    folder.mkdir(exist_ok=True)
    case = make_case(3, CaseOptions(num_images=11, category_ids=tuple(CLASSES), score_levels=5))
    name = f"{folder.name}_{wrong_image}"
    (folder / f"{rank}.json").write_text(json.dumps(case.ground_truth))
    DatasetCatalog.register(name, list)
    MetadataCatalog.get(name).set(
        json_file=str(folder / f"{rank}.json"),
        thing_classes=["a", "b", "c"],
        thing_dataset_id_to_contiguous_id=CLASSES,
    )
    inputs, outputs = model_outputs(case, CLASSES)
    indices = list(InferenceSampler._get_local_indices(len(inputs), world_size, rank))
    inputs, outputs = [inputs[i] for i in indices], [outputs[i] for i in indices]
    if wrong_image and rank == world_size - 1:
        inputs = [{**source, "image_id": -5} for source in inputs]
    metrics = evaluate(COCOEvaluator(name, output_dir=str(folder / "out")), inputs, outputs)
    order = json.loads((folder / "out" / COCOEvaluator.predictions_file).read_text()) if metrics else []
    return {"metrics": metrics, "order": order}


def _memory(rank: int) -> dict:
    """Return the traced bytes of the own records, at the peak of gathering, after it, and before each chunk is sent."""
    at_send = []
    send = dist.send_object_list

    def noting_send(objects: list, **keywords: object) -> None:
        at_send.append(tracemalloc.get_traced_memory()[0])
        send(objects, **keywords)

    gathering.dist.send_object_list = noting_send
    tracemalloc.start()
    records = [
        {"image_id": number, "segmentation": {"counts": f"{rank} {number} " * 40}}
        for number in range(RECORDS_PER_PROCESS)
    ]
    own = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    gathered = gathering.gather_records(records, CHUNK_SIZE)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    gathering.dist.send_object_list = send
    return {"own": own, "peak": peak, "after": after, "at_send": at_send, "gathered": len(gathered)}
