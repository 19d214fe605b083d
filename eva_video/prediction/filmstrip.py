"""The frames that a model has seen, side by side, above the classes that it found most likely."""

import io
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from eva_classification.prediction import ClassPrediction

FRAMES_A_ROW = 8
FRAME_INCHES, BAR_INCHES, DPI = 1.6, 0.26, 100
RIGHT, OTHER = "#2a7f62", "#8aa3b5"


def draw_filmstrip(frames: np.ndarray, guesses: Sequence[ClassPrediction], title: str = "") -> bytes:
    """A PNG picture.

    Args:
        frames: [T, H, W, 3] uint8 RGB.
        guesses: classes with their probabilities, best first.
        title: a line above, such as the file's name.
    """
    columns = min(len(frames), FRAMES_A_ROW)
    rows = -(-len(frames) // columns)
    width = max(columns * FRAME_INCHES, 4.0)
    row_height = width / columns * frames.shape[1] / frames.shape[2]
    heights = [row_height] * rows + [0.3 + BAR_INCHES * len(guesses)]
    figure = Figure(figsize=(width, sum(heights) + 0.4), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        # Dollar signs in a file's name are no formulas.
        figure.suptitle(textwrap.shorten(title, 90), fontsize=9, parse_math=False)
    grid = figure.add_gridspec(rows + 1, columns, height_ratios=heights)
    for number, frame in enumerate(frames):
        axes = figure.add_subplot(grid[number // columns, number % columns])
        axes.imshow(frame)
        axes.axis("off")
    _draw_bars(figure.add_subplot(grid[rows, :]), guesses)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _draw_bars(axes: Axes, guesses: Sequence[ClassPrediction]) -> None:
    values = [guess.probability for guess in guesses]
    places = range(len(guesses))
    bars = axes.barh(places, values, color=[RIGHT] + [OTHER] * (len(guesses) - 1))
    axes.bar_label(bars, [f"{value:.1%}" for value in values], fontsize=8, padding=3)
    axes.set_yticks(places, [textwrap.shorten(guess.name, 48) for guess in guesses], fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
