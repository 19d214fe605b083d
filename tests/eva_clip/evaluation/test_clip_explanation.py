"""Explanations of zero-shot classification and of retrieval."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from synthetic_features import (
    CLASS_NAMES,
    data,
    features,
    filled_retrieval_evaluator,
    filled_zero_shot_evaluator,
    pixels,
    tokenize,
    write_captions,
    write_classes,
)


def sections_of(evaluator, loader) -> dict:
    return {section.title: section for section in evaluator.explain(None, loader)}


def test_zero_shot_confusions_are_those_of_the_accuracy(tmp_path):
    evaluator, loader = filled_zero_shot_evaluator(write_classes(tmp_path))
    assert evaluator.explain(None, loader) == [], "nothing was evaluated"
    found = evaluator.evaluate()["zero_shot"]
    sections = sections_of(evaluator, loader)
    counts = torch.tensor(sections["Confusions"].parts[0].counts)
    assert counts.sum() == 17
    assert 100 * counts.trace() / 17 == pytest.approx(found["top1"])
    assert set(sections["Confusions"].parts[0].row_names) <= set(CLASS_NAMES)
    (grid,) = sections["Worst images"].parts
    assert len(grid.figures) == 17 - counts.trace()


def test_retrieval_shows_the_worst_ranks(tmp_path):
    dataset = data(write_captions(tmp_path, "coco"), "coco")
    evaluator, loader = filled_retrieval_evaluator(dataset)
    assert evaluator.explain(None, loader) == [], "nothing was evaluated"
    found = evaluator.evaluate()
    sections = sections_of(evaluator, loader)
    (chart,) = sections["Ranks"].parts
    for line, task in zip(chart.lines, ("text_to_image", "image_to_text"), strict=True):
        assert [100 * line.y[k - 1] for k in (1, 5, 10)] == pytest.approx(list(found[task].values()))

    images = torch.stack([pixels(Image.open(record["file_name"])) for record in dataset])
    images = features({"image": images})["image_features"]
    texts = features({"text": tokenize([text for text, _ in dataset.captions])})["text_features"]
    files = [record["file_name"] for record in dataset]
    scores = texts @ images.T
    own = torch.tensor([files.index(file) for _, file in dataset.captions])
    ranks = (scores > scores.gather(1, own[:, None])).sum(1)
    worst = int(ranks.argmax())
    text, file = dataset.captions[worst]
    (grid,) = sections["Worst texts"].parts
    assert grid.figures[0].caption == f"“{text}” has its image at rank {int(ranks.max()) + 1}: {Path(file).name}"
    assert [label for label, _ in grid.figures[0].images] == ["its image", "found first"]
    assert len(grid.figures) == min(12, int((ranks > 0).sum()))
    (grid,) = sections["Worst images"].parts
    image_ranks = [
        min(int((scores[:, image] > scores[caption, image]).sum()) for caption in (own == image).nonzero()[:, 0])
        for image in range(len(files))
    ]
    assert f"at rank {max(image_ranks) + 1};" in grid.figures[0].caption
