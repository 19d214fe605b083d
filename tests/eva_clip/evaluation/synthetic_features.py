"""Synthetic images with captions and classes, and features that are a fixed function of the input."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from eva_classification.data import EvaluationMapper, ImageDataset
from eva_clip.data.eval_loaders import ImageTextLoader, build_retrieval_loader, build_zero_shot_loader
from eva_clip.data.retrieval_dataset import RetrievalDataset
from eva_clip.evaluation.retrieval_evaluator import RetrievalEvaluator
from eva_clip.evaluation.zero_shot_evaluator import ZeroShotEvaluator

NUM_IMAGES = 11
# Names and templates are numbers, as `tokenize` expects.
CLASS_NAMES = ["3", "1", "4", "1", "5", "9", "2"]
TEMPLATES = ["{} 0", "7 {}", "{} {}"]


def write_captions(root: Path, layout: str) -> Path:
    """Write eleven images; number i has i % 4 + 1 captions, except for the last but one, which has none."""
    (root / "photos").mkdir()
    generator = np.random.default_rng(2)
    captions = {}
    for number in range(NUM_IMAGES):
        name = f"{number:02d}.png"
        Image.fromarray(generator.integers(0, 256, (6, 6, 3), np.uint8)).save(root / "photos" / name)
        captions[name] = [f"{number} {i}" for i in range(number % 4 + 1)] if number != NUM_IMAGES - 2 else []
    if layout == "coco":
        images = [{"id": 5 * number, "file_name": name} for number, name in enumerate(captions)]
        rows = [(5 * n, text) for n, texts in enumerate(captions.values()) for text in texts]
        annotations = [{"id": i, "image_id": image, "caption": text} for i, (image, text) in enumerate(rows)]
        content = {"images": images, "annotations": annotations}
    else:
        content = {
            "images": [
                {"filename": name, "filepath": "photos", "split": "test", "sentences": [{"raw": t} for t in texts]}
                for name, texts in captions.items()
            ]
        }
        content["images"].append({**content["images"][0], "filename": "other.png", "split": "train"})
    (root / "captions.json").write_text(json.dumps(content))
    return root


def tokenize(texts: list[str]) -> torch.Tensor:
    return torch.tensor([[int(number) for number in text.split()] for text in texts])


def pixels(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image.resize((6, 6)))).permute(2, 0, 1) / 255


def features(batch: dict) -> dict[str, torch.Tensor]:
    """Replace a model with a fixed function of the input."""
    if "text" in batch:
        return {"text_features": torch.sin(batch["text"].float() @ torch.arange(10.0).reshape(2, 5) * 3 + 1)}
    return {"image_features": torch.sin(9 * batch["image"].flatten(1)[:, :5])}


def data(root: Path, layout: str, **options) -> RetrievalDataset:
    return RetrievalDataset(
        str(root / "captions.json"), str(root if layout == "karpathy" else root / "photos"), **options
    )


def measure_retrieval(dataset: RetrievalDataset) -> dict:
    evaluator, _ = filled_retrieval_evaluator(dataset)
    return evaluator.evaluate()


def filled_retrieval_evaluator(dataset: RetrievalDataset) -> tuple[RetrievalEvaluator, ImageTextLoader]:
    loader = build_retrieval_loader(
        dataset,
        mapper=EvaluationMapper(pixels, on_error="skip"),
        tokenizer=tokenize,
        batch_size=4,
        text_batch_size=3,
    )
    evaluator = RetrievalEvaluator()
    evaluator.reset()
    batches = list(loader)
    assert len(batches) == len(loader)
    for batch in batches:
        evaluator.process(batch, features(batch))
    return evaluator, loader


def write_classes(root: Path) -> Path:
    """Write seventeen images in folders of seven classes."""
    generator = np.random.default_rng(3)
    for number in range(17):
        folder = root / "classes" / str(number * number % 7)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (6, 6, 3), np.uint8)).save(folder / f"{number}.png")
    return root


def measure_zero_shot(root: Path, label_mapping=None) -> dict:
    evaluator, _ = filled_zero_shot_evaluator(root, label_mapping)
    return evaluator.evaluate()


def filled_zero_shot_evaluator(root: Path, label_mapping=None) -> tuple[ZeroShotEvaluator, ImageTextLoader]:
    loader = build_zero_shot_loader(
        ImageDataset(str(root / "classes"), class_map={str(number): number for number in range(7)}),
        mapper=EvaluationMapper(pixels, on_error="skip"),
        class_names=CLASS_NAMES,
        templates=TEMPLATES,
        tokenizer=tokenize,
        batch_size=4,
        text_batch_size=4,
    )
    evaluator = ZeroShotEvaluator(label_mapping)
    for batch in loader:
        output = {name: torch.nn.functional.normalize(value, dim=-1) for name, value in features(batch).items()}
        evaluator.process(batch, output)
    return evaluator, loader
