"""Explain an evaluation of a video classifier, with frames of the worst videos."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from omegaconf import DictConfig

from eva_backbone.errors import InputError
from eva_classification.evaluation.explanation import explain_samples
from eva_engine.config.instantiation import instantiate
from eva_engine.prediction.categories import match_names
from eva_engine.report.image_pairs import image_grid
from eva_engine.report.sections import Section

from ..prediction.predictor import find_class_names

MAX_FRAMES = 4


def explain_videos(
    samples: Sequence[Mapping[str, Any]], cfg: DictConfig, dataset: Sequence[Mapping[str, Any]], num_classes: int
) -> list[Section]:
    """Return the sections of the page about an evaluation.

    Args:
        samples: Records of `score_sample`, with the "index" of each video in the dataset.
        cfg: Recipe of the evaluation.
        dataset: Records of the videos.
        num_classes: Number of outputs of the model.
    """
    try:
        names = find_class_names(cfg, num_classes)
    except InputError:
        names = match_names(None, num_classes, "the recipe")
    # Videos are told apart by their index: several samples can be from one file.
    named, index_of = [], {}
    for sample in samples:
        file = f"{dataset[sample['index']]['file_name']} ({sample['index']})"
        index_of[file] = sample["index"]
        named.append({**sample, "file": file})
    mapper = instantiate(cfg.dataloader.test.mapper)

    def draw(files: Collection[str]) -> dict[str, np.ndarray]:
        return {file: draw_frames(mapper(dataset[index_of[file]])["video"][0]) for file in files}

    return explain_samples(named, list(names), draw, "videos")


def draw_frames(clip: np.ndarray) -> np.ndarray:
    """Draw frames of the first view as the model gets them, next to each other.

    Args:
        clip: Normalised pixels [3, T, H, W].

    Returns:
        Image [H, W', 3] uint8, in which the lowest value is black and the highest white.
    """
    num_frames = clip.shape[1]
    if num_frames > MAX_FRAMES:
        clip = clip[:, [step * num_frames // MAX_FRAMES for step in range(MAX_FRAMES)]]
    low, high = clip.min(), clip.max()
    scaled = (255 * (clip - low) / max(high - low, 1e-6)).round().astype(np.uint8)
    return image_grid(list(scaled.transpose(1, 2, 3, 0)), columns=MAX_FRAMES)
