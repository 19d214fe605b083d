"""Several processes have the results of one, although images and texts are not divided evenly."""

import faulthandler
import json
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from omegaconf import OmegaConf
from synthetic_features import data, measure_retrieval, measure_zero_shot, write_captions, write_classes

from eva_clip import build_model
from eva_engine.config import TRAIN_SETTINGS
from eva_engine.training.distributed import launch, parallelize
from eva_engine.training.evaluation import evaluation_context


def measure(folder: Path) -> list[dict]:
    return [measure_retrieval(data(folder, "karpathy")), measure_zero_shot(folder)]


def process(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/join", rank=rank, world_size=2)
    (folder / f"{rank}.json").write_text(json.dumps(measure(folder)))
    dist.destroy_process_group()


def test_two_processes(tmp_path):
    write_captions(tmp_path, "karpathy")
    write_classes(tmp_path)
    mp.set_forkserver_preload(["synthetic_features"])
    mp.start_processes(process, args=(tmp_path,), nprocs=2, start_method="forkserver")
    together, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert other == [{}, {}]
    alone = measure(tmp_path)
    assert together[0] == alone[0]
    for name, value in alone[1]["zero_shot"].items():
        assert abs(together[1]["zero_shot"][name] - value) < 1e-4 * max(1, abs(value)), name


def encode_apart() -> None:
    """One process has images while the other has texts, and one more batch."""
    faulthandler.dump_traceback_later(100, exit=True)  # processes that wait for each other would do so for an hour
    torch.set_num_threads(1)
    torch.manual_seed(0)
    visual = {"img_size": 28, "embed_dim": 32, "depth": 2, "num_heads": 2}
    model = build_model("eva_clip_tiny", output_dim=24, visual=visual).eval()
    batches = [{"image": torch.randn(1, 3, 28, 28)}, {"text": torch.randint(1, 400, (1, model.text.context_length))}]
    with torch.no_grad():
        expected = [model(batch) for batch in batches]
    changes = {"device": "cpu", "parallel": "fsdp"}
    cfg = OmegaConf.create({"train": {**TRAIN_SETTINGS, **changes}}, flags={"allow_objects": True})
    model = parallelize(model, cfg.train)
    order = (0, 1) if dist.get_rank() == 0 else (1, 0, 0)
    with torch.no_grad(), evaluation_context(cfg, model):
        for number in order:
            found = model(batches[number])
            for name, value in expected[number].items():
                torch.testing.assert_close(found[name], value)
    dist.barrier()
    faulthandler.cancel_dump_traceback_later()


def test_processes_that_encode_different_inputs_do_not_wait_for_each_other():
    launch(encode_apart, (), processes_per_machine=2, dist_url="auto", device="cpu")


def test_more_processes_than_texts(tmp_path, monkeypatch):
    """Processes without texts are ignored."""
    write_classes(tmp_path)
    gathered = "eva_engine.training.distributed.gathering.gather_values"
    alone = measure_zero_shot(tmp_path)
    monkeypatch.setattr(gathered, lambda value: [value, None] if isinstance(value, torch.Tensor) else [value])
    assert measure_zero_shot(tmp_path) == alone
