"""Two real processes give the numbers of one, though neither images nor sentences divide."""

import json
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from made_features import data, measure_retrieval, measure_zero_shot, write_captions, write_classes

from eva_clip.data.test_loader import FeatureLoader


def measure(folder: Path) -> list[dict]:
    return [measure_retrieval(data(folder, "karpathy")), measure_zero_shot(folder)]


def process(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/join", rank=rank, world_size=2)
    kinds = []
    original = FeatureLoader.__iter__

    def noted(loader: FeatureLoader):
        for batch in original(loader):
            kinds.append("text" if "text" in batch else "image")
            yield batch

    FeatureLoader.__iter__ = noted
    (folder / f"{rank}.json").write_text(json.dumps({"results": measure(folder), "kinds": kinds}))
    dist.destroy_process_group()


def test_two_processes(tmp_path):
    write_captions(tmp_path, "karpathy")
    write_classes(tmp_path)
    mp.set_forkserver_preload(["made_features"])
    mp.start_processes(process, args=(tmp_path,), nprocs=2, start_method="forkserver")
    together, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert other["results"] == [{}, {}]
    alone = measure(tmp_path)
    assert together["results"][0] == alone[0]
    for name, value in alone[1]["zero_shot"].items():
        assert abs(together["results"][1]["zero_shot"][name] - value) < 1e-4 * max(1, abs(value)), name
    # A model split among processes needs the same tower in all of them at once.
    assert together["kinds"] == other["kinds"]
