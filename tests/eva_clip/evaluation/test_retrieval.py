"""Recall@k against a brute force in numpy, with ties, several captions, unreadable images and two processes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic_features import NUM_IMAGES, data, features, measure_retrieval, pixels, tokenize, write_captions

from eva_backbone.errors import InputError
from eva_clip.data.retrieval_dataset import RetrievalDataset
from eva_clip.evaluation import recall
from eva_clip.evaluation.retrieval_evaluator import RetrievalEvaluator


def brute_force(queries: np.ndarray, candidates: np.ndarray, right: list[list[int]], k: int) -> float:
    hits = 0
    for query, answers in zip(queries, right, strict=True):
        scores = [float(np.dot(query, candidate)) for candidate in candidates]
        ranked = sorted(range(len(scores)), key=lambda number: (-scores[number], number))
        hits += any(number in answers for number in ranked[:k])
    return 100 * hits / len(queries)


@pytest.mark.parametrize("values", ["any", "tied"])
@pytest.mark.parametrize("pairs_at_once", [1, 40, 1 << 24])
def test_ranks_and_recall(values, pairs_at_once, monkeypatch):
    monkeypatch.setattr(recall, "_PAIRS_AT_ONCE", pairs_at_once)
    generator = torch.Generator().manual_seed(5)
    draw = torch.randn if values == "any" else lambda *size, generator: torch.randint(0, 2, size, generator=generator)
    images, captions = draw(9, 4, generator=generator).float(), draw(31, 4, generator=generator).float()
    image_of = [number % 9 for number in range(31)]
    own = [[c for c in range(31) if image_of[c] == image] for image in range(9)]
    for queries, candidates, right in (
        (captions, images, [[image] for image in image_of]),
        (images, captions, own),
    ):
        found = recall.recall_at_k(recall.best_positive_ranks(queries, candidates, right), (1, 2, 5, 10))
        for k in (1, 2, 5, 10):
            assert found[f"R@{k}"] == pytest.approx(brute_force(queries.numpy(), candidates.numpy(), right, k))


def expected(dataset: RetrievalDataset, unreadable: str = "") -> dict:
    """Of the files that can be read; the others have failed."""
    files = [record["file_name"] for record in dataset]
    readable = [file for file in files if file != unreadable]
    images = torch.stack([pixels(Image.open(file)) for file in readable])
    images = features({"image": images})["image_features"].numpy()
    texts = features({"text": tokenize([text for text, _ in dataset.captions])})["text_features"].numpy()
    image_of = [readable.index(file) if file in readable else None for _, file in dataset.captions]
    seen = [c for c, image in enumerate(image_of) if image is not None]
    own = [[c for c, image in enumerate(image_of) if image == number] for number in range(len(readable))]
    results = {"text_to_image": {}, "image_to_text": {}}
    for k in (1, 5, 10):
        found = brute_force(texts[seen], images, [[image_of[c]] for c in seen], k)
        results["text_to_image"][f"R@{k}"] = found * len(seen) / len(image_of)
        results["image_to_text"][f"R@{k}"] = brute_force(images, texts, own, k) * len(readable) / len(files)
    return results


@pytest.mark.parametrize("layout", ["coco", "karpathy"])
@pytest.mark.parametrize("broken", [False, True])
def test_recall_on_caption_files(layout, broken, tmp_path):
    dataset = data(write_captions(tmp_path, layout), layout)
    assert len(dataset) == NUM_IMAGES - 1
    unreadable = dataset[3]["file_name"] if broken else ""
    if broken:
        Path(unreadable).write_bytes(b"no image")
    found = measure_retrieval(dataset)
    for task, metrics in expected(dataset, unreadable).items():
        assert found[task] == pytest.approx(metrics)
    assert {f"{task}/{name}" for task, metrics in found.items() for name in metrics} == set(
        RetrievalEvaluator.metric_names
    )


def test_only_the_first_captions(tmp_path):
    dataset = data(write_captions(tmp_path, "coco"), "coco", captions_per_image=2)
    assert [text for text, _ in dataset.captions][:5] == ["0 0", "1 0", "1 1", "2 0", "2 1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [{"sentences": [], "filename": "a"}]}', "image 1 lacks its filename, sentences or split"),
        ('{"images": [{"sentences": [{"raw": "x"}], "filename": "a", "split": "val"}]}', "its splits are val"),
        (
            '{"images": [{"sentences": [{"raw": 3}], "filename": "a", "split": "test"}]}',
            "image 1 has an empty caption for a",
        ),
        ('{"images": [{"sentences": [{"raw": "x"}], "filename": "../a", "split": "test"}]}', "outside of the image"),
        ('{"images": [], "annotations": []}', "no image with a caption"),
        (
            '{"images": [{"sentences": [{"raw": "x"}], "filename": "a", "split": "test"}, {}]}',
            "image 2 lacks its filename",
        ),
        ("[", "not valid JSON"),
    ],
)
def test_bad_caption_files(content, message, tmp_path):
    (tmp_path / "captions.json").write_text(content)
    with pytest.raises(InputError) as error:
        RetrievalDataset(str(tmp_path / "captions.json"), str(tmp_path))
    assert message in str(error.value)


def test_non_finite_features_are_rejected():
    evaluator = RetrievalEvaluator()
    with pytest.raises(InputError, match="non-finite text features"):
        evaluator.process(
            {"text": [], "target": ["a"]},
            {"text_features": torch.tensor([[torch.nan]])},
        )
