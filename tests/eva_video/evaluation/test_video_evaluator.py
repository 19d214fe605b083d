"""Accuracy over the views of videos, in one process and in two."""

import base64
import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.config import LazyCall as L
from omegaconf import OmegaConf
from PIL import Image

from eva_backbone.errors import InputError
from eva_video.evaluation import VideoEvaluator

NUM_VIDEOS, NUM_VIEWS, NUM_CLASSES = 7, 6, 9


def synthetic_views(seed: int = 0) -> list[tuple[int, int, torch.Tensor]]:
    """Video, class and logits of every view, the views of a video one after the other."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(NUM_CLASSES, (NUM_VIDEOS,), generator=generator).tolist()
    logits = 3 * torch.randn(NUM_VIDEOS, NUM_VIEWS, NUM_CLASSES, generator=generator)
    return [(video, labels[video], logits[video, view]) for video in range(NUM_VIDEOS) for view in range(NUM_VIEWS)]


def evaluated(views, num_views=NUM_VIEWS, batch_size=4, repeated=None) -> dict:
    evaluator = VideoEvaluator(num_views)
    for start in range(0, len(views), batch_size):
        index, label, logits = zip(*views[start : start + batch_size], strict=True)
        inputs = {"index": torch.tensor(index), "label": torch.tensor(label)}
        if repeated is not None:
            inputs["repeated"] = torch.tensor(repeated[start : start + batch_size])
        evaluator.process(inputs, torch.stack(logits))
    return evaluator.evaluate()


def expected(views) -> dict[str, float]:
    """Softmax of each view, averaged."""
    labels = torch.tensor([label for _, label, _ in views[::NUM_VIEWS]])
    logits = torch.stack([logits for *_, logits in views]).reshape(NUM_VIDEOS, NUM_VIEWS, NUM_CLASSES)
    mean = logits.softmax(-1).mean(1)
    ranks = (mean > mean.gather(1, labels[:, None])).sum(1)
    return {
        "top1": 100 * (ranks < 1).float().mean().item(),
        "top5": 100 * (ranks < 5).float().mean().item(),
        "loss": -mean.gather(1, labels[:, None]).log().mean().item(),
    }


@pytest.mark.parametrize("batch_size", [1, 4, 42])
@pytest.mark.parametrize("order", ["by video", "by view", "backwards"])
def test_probabilities_of_views_are_averaged(batch_size, order):
    views = synthetic_views()
    orders = {"by view": sorted(range(42), key=lambda i: i % NUM_VIEWS), "backwards": range(41, -1, -1)}
    shuffled = [views[i] for i in orders.get(order, range(42))]
    assert evaluated(shuffled, batch_size=batch_size)["accuracy"] == pytest.approx(expected(views), rel=1e-5)


def test_probabilities_and_not_logits_are_averaged():
    """Two views sure of one class outweigh a third that is surer of the other."""
    views = [(0, 1, torch.tensor(row)) for row in ([2.0, 0.0], [2.0, 0.0], [0.0, 4.1])]
    assert torch.stack([logits for *_, logits in views]).mean(0).argmax() == 1
    assert evaluated(views, 3)["accuracy"]["top1"] == 0


def test_repetitions_count_once_and_unreadable_videos_as_wrong():
    views = synthetic_views()
    again = views[:3]
    repeated = [False] * len(views) + [True] * len(again)
    assert evaluated(views + again, repeated=repeated)["accuracy"] == pytest.approx(expected(views), rel=1e-5)
    bad = [(NUM_VIDEOS, -1, torch.zeros(NUM_CLASSES))] * NUM_VIEWS
    results = evaluated(views + bad)["accuracy"]
    fraction = NUM_VIDEOS / (NUM_VIDEOS + 1)
    assert results["top5"] == pytest.approx(expected(views)["top5"] * fraction, rel=1e-5)
    assert results["loss"] == pytest.approx(expected(views)["loss"], rel=1e-5)


def test_a_video_with_one_unreadable_view_is_wrong():
    sure = torch.tensor([9.0, 0.0])
    assert evaluated([(0, 0, sure), (0, -1, sure)], 2)["accuracy"]["top1"] == 0


def test_evaluated_again_after_a_reset():
    evaluator = VideoEvaluator()
    for label in (0, 1):
        evaluator.reset()
        evaluator.process({"index": [0], "label": [label]}, torch.tensor([[1.0, 0.0]]))
        assert evaluator.evaluate()["accuracy"]["top1"] == 100 * (label == 0)


@pytest.mark.parametrize(
    ("views", "num_views", "message"),
    [
        (
            [(0, 0, torch.zeros(3))] * 2,
            3,
            r"1 videos do not have 3 views each \(video 0 has 2\): give the evaluator the num_clips",
        ),
        ([(0, 0, torch.zeros(3))] * 3, 2, r"video 0 has 1"),
        ([(0, 3, torch.zeros(3))], 1, "a video is of class 3, the model has classes 0 to 2: set the model's"),
    ],
)
def test_wrong_numbers_of_views_and_classes(views, num_views, message):
    with pytest.raises(InputError, match=message):
        evaluated(views, num_views)


def process(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/join", rank=rank, world_size=2)
    # The views of the fourth video are divided between the processes.
    views = synthetic_views()
    part = views[: 3 * NUM_VIEWS + 2] if rank == 0 else views[3 * NUM_VIEWS + 2 :]
    (folder / f"{rank}.json").write_text(json.dumps(evaluated(part)))
    dist.destroy_process_group()


def test_two_processes_give_the_numbers_of_one(tmp_path):
    mp.set_forkserver_preload(["eva_video.evaluation"])
    mp.start_processes(process, args=(tmp_path,), nprocs=2, start_method="forkserver")
    together, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert other == {}
    assert together["accuracy"] == pytest.approx(expected(synthetic_views()), rel=1e-5)


def test_non_finite_logits_raise():
    with pytest.raises(InputError, match="non-finite logits"):
        evaluated([(0, 1, torch.tensor([1.0, torch.nan]))], num_views=1)


class Frames:
    """Maps a record to two views of six frames, whose grey value is the number of the frame."""

    def __call__(self, record):
        frames = np.arange(6, dtype=np.float32)[None, :, None, None] - 2.0
        return {"video": np.broadcast_to(frames, (2, 3, 6, 8, 10)), "label": record["label"]}


def test_videos_are_explained_with_their_frames():
    views = synthetic_views()
    evaluator = VideoEvaluator(NUM_VIEWS)
    for index, label, logits in views:
        evaluator.process({"index": torch.tensor([index]), "label": torch.tensor([label])}, logits[None])
    top1 = evaluator.evaluate()["accuracy"]["top1"]
    dataset = [{"file_name": "same.mp4", "label": label} for _, label, _ in views[::NUM_VIEWS]]
    cfg = OmegaConf.create(flags={"allow_objects": True})
    cfg.dataloader = {"class_names": [f"name {k}" for k in range(NUM_CLASSES)], "test": {"mapper": L(Frames)()}}
    sections = {section.title: section for section in evaluator.explain(cfg, SimpleNamespace(dataset=dataset))}
    matrix = np.array(sections["Confusions"].parts[0].counts)
    assert matrix.sum() == NUM_VIDEOS
    assert 100 * matrix.trace() / NUM_VIDEOS == pytest.approx(top1)
    (grid,) = sections["Worst videos"].parts
    assert len(grid.figures) == NUM_VIDEOS - matrix.trace() > 0
    assert "same.mp4 (" in grid.figures[0].caption
    frames = Image.open(io.BytesIO(base64.b64decode(grid.figures[0].images[0][1])))
    assert frames.size == (4 * 10 + 3 * 2, 8), "four frames next to each other"
    levels = [np.asarray(frames)[4, left + 5].mean() for left in (0, 12, 24, 36)]
    assert levels == pytest.approx([0, 64, 191, 255], abs=8), "frames 0, 1, 3 and 4"
