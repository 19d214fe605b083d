"""Explain an evaluation of retrieval: recall by number of candidates, and the queries with the worst ranks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eva_classification.evaluation.explanation import draw_images
from eva_engine.report.sections import Chart, ImageFigure, ImageGrid, Line, Section, encode_image

from .recall import recall_at_k
from .worst_queries import RankedQueries

MAX_RANK = 100
MAX_SIDE = 360


def explain_retrieval(
    ranked: RankedQueries, captions: Sequence[tuple[str, str]], dataset: Sequence[Mapping[str, Any]]
) -> list[Section]:
    """Return the sections of the page about an evaluation.

    Args:
        ranked: Ranks and worst queries.
        captions: Text and image file of each caption.
        dataset: Records of the images, as those of `RetrievalDataset`.
    """
    cutoffs = range(1, min(MAX_RANK, max(len(captions), len(ranked.files))) + 1)
    lines = []
    for name, ranks, total in (
        ("image by its text", ranked.caption_ranks, ranked.num_captions),
        ("text by its image", ranked.image_ranks, ranked.num_images),
    ):
        recall = recall_at_k(ranks, cutoffs, total)
        lines.append(Line(name, list(cutoffs), [value / 100 for value in recall.values()]))
    chart = Chart("Recall", "candidates", "fraction of queries with a match among them", lines)
    shown = {ranked.files[worst.query] for worst in ranked.worst_images}
    for worst in ranked.worst_captions:
        shown |= {captions[worst.query][1], ranked.files[worst.first]}
    images = {file: encode_image(image, MAX_SIDE) for file, image in draw_images(dataset, shown).items()}
    texts, figures = [], []
    for worst in ranked.worst_captions:
        text, own = captions[worst.query]
        caption = f"“{text}” has its image at rank {worst.rank + 1}: {Path(own).name}"
        texts.append(
            ImageFigure(caption, [("its image", images[own]), ("found first", images[ranked.files[worst.first]])])
        )
    for worst in ranked.worst_images:
        file = ranked.files[worst.query]
        caption = f"The best of its texts is at rank {worst.rank + 1}; found first: “{captions[worst.first][0]}”"
        figures.append(ImageFigure(caption, [(Path(file).name, images[file])]))
    return [
        Section("Ranks", [chart]),
        Section("Worst texts", [ImageGrid("", texts)], "Texts whose image has the worst rank."),
        Section("Worst images", [ImageGrid("", figures)], "Images whose texts have the worst ranks."),
    ]
