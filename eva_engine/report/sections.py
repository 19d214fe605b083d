"""Sections of a page: tables, charts, confusion matrices and images, which any evaluator or command can fill."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from .image_pairs import ImagePair

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """A table whose rows the reader can sort by any column; long tables scroll.

    Attributes:
        title: Heading.
        columns: Format of each column by its name, such as ".1f"; "" for texts and whole numbers.
        rows: Cells of each row; None and NaN are shown as a dash.
        note: Sentence below the heading.
        colors: Palette number of the class in the first cell of each row; empty for none.
        bar: Name of the column whose values are also drawn as bars, relative to the largest.
    """

    title: str
    columns: Mapping[str, str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    colors: Sequence[int] = ()
    bar: str = ""


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        name: Name in the legend.
        x: Positions.
        y: Values; NaN leaves a gap.
        color: Palette number of a class; None for the next color of the chart.
        dashed: Whether it is a reference rather than a measurement.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    color: int | None = None
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """Lines over a common axis; fractions, that is values within 0..1, are drawn on that scale."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    note: str = ""


@dataclass(frozen=True)
class ImageFigure:
    """One or more images with a common caption.

    Attributes:
        caption: Line of text below the images.
        images: What each image shows, such as "Ground truth", and the encoded image; see `encode_image`.
        wide: Whether they take the full width of the page.
    """

    caption: str
    images: Sequence[tuple[str, str]]
    wide: bool = False


@dataclass(frozen=True)
class ImageGrid:
    """Images that the reader can enlarge."""

    title: str
    figures: Sequence[ImageFigure]
    note: str = ""


@dataclass(frozen=True)
class Matrix:
    """Counts by true class (rows) and predicted class (columns), with images of some cells.

    Attributes:
        title: Heading.
        row_names, column_names: Names of rows and columns.
        counts: Count of each cell, row by row; a cell's color is its fraction of the row.
        note: Sentence below the heading.
        row_colors, column_colors: Palette numbers, negative for none.
        examples: Images of a cell, by "row,column".
    """

    title: str
    row_names: Sequence[str]
    column_names: Sequence[str]
    counts: Sequence[Sequence[int]]
    note: str = ""
    row_colors: Sequence[int] = ()
    column_colors: Sequence[int] = ()
    examples: Mapping[str, ImageFigure] = field(default_factory=dict)


Part = Table | Chart | ImageGrid | Matrix


@dataclass(frozen=True)
class Section:
    """A part of a page under one heading.

    Attributes:
        title: Heading.
        parts: Contents in their order.
        note: One or two sentences below the heading.
        collapsed: Whether the reader has to open it.
    """

    title: str
    parts: Sequence[Part]
    note: str = ""
    collapsed: bool = False


def encode_image(image: np.ndarray, max_side: int = 800, quality: int = 80) -> str:
    """Return an image [H, W, 3] uint8 as WebP in base64, shrunk to at most `max_side` pixels per side."""
    opened = Image.fromarray(image)
    opened.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    return _encode(opened, quality)


def pairs_grid(title: str, pairs: Sequence[ImagePair], note: str = "", max_side: int = 1024) -> ImageGrid:
    """Return ground truth next to prediction as an image grid."""
    figures = []
    for pair in pairs:
        side = 4 * max_side if pair.wide else max_side
        images = [
            ("Ground truth", encode_image(pair.ground_truth, side)),
            ("Prediction", encode_image(pair.prediction, side)),
        ]
        figures.append(ImageFigure(pair.caption, images, pair.wide))
    return ImageGrid(title, figures, note)


def fit_images(images: Sequence[str], budget: int) -> list[str]:
    """Return encoded images that have at most `budget` characters together; all are shrunk by the same factor."""
    fitted = list(images)
    while (size := sum(map(len, fitted))) > budget:
        factor = 0.95 * math.sqrt(budget / size)
        for index, text in enumerate(fitted):
            opened = Image.open(io.BytesIO(base64.b64decode(text)), formats=("JPEG", "PNG", "WEBP")).convert("RGB")
            width, height = (max(1, round(side * factor)) for side in opened.size)
            fitted[index] = _encode(opened.resize((width, height), Image.Resampling.LANCZOS), quality=75)
    return fitted


def _encode(image: Image.Image, quality: int) -> str:
    file = io.BytesIO()
    image.save(file, format="WEBP", quality=quality, method=4)
    return base64.b64encode(file.getvalue()).decode("ascii")
