"""Draw a filmstrip: the frames that a model has seen, above a bar chart of the most likely classes."""

import io
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

FRAMES_PER_ROW = 8
FRAME_INCHES, BAR_INCHES, DPI = 1.6, 0.26, 100
TOP_CLASS_COLOUR, OTHER_CLASS_COLOUR = "#2a7f62", "#8aa3b5"


def draw_filmstrip(
    frames: np.ndarray, class_names: Sequence[str], probabilities: Sequence[float], title: str = ""
) -> bytes:
    """Return the filmstrip as the content of a PNG file.

    Args:
        frames: [T, H, W, 3] uint8 RGB.
        class_names: Names of the most likely classes, best first.
        probabilities: Their probabilities.
        title: Line above the frames, such as the name of the file.
    """
    num_columns = min(len(frames), FRAMES_PER_ROW)
    num_rows = -(-len(frames) // num_columns)  # rounded up
    width = max(num_columns * FRAME_INCHES, 4.0)
    row_height = width / num_columns * frames.shape[1] / frames.shape[2]
    heights = [row_height] * num_rows + [0.3 + BAR_INCHES * len(class_names)]
    figure = Figure(figsize=(width, sum(heights) + 0.4), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        # File names may contain dollar signs, which Matplotlib would read as formulas.
        figure.suptitle(textwrap.shorten(title, 90), fontsize=9, parse_math=False)
    grid = figure.add_gridspec(num_rows + 1, num_columns, height_ratios=heights)
    for index, frame in enumerate(frames):
        axes = figure.add_subplot(grid[index // num_columns, index % num_columns])
        axes.imshow(frame)
        axes.axis("off")
    _draw_bars(figure.add_subplot(grid[num_rows, :]), class_names, probabilities)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _draw_bars(axes: Axes, class_names: Sequence[str], probabilities: Sequence[float]) -> None:
    names = [textwrap.shorten(name, 48) for name in class_names]
    positions = range(len(names))
    colours = [TOP_CLASS_COLOUR] + [OTHER_CLASS_COLOUR] * (len(names) - 1)
    bars = axes.barh(positions, probabilities, color=colours)
    axes.bar_label(bars, [f"{probability:.1%}" for probability in probabilities], fontsize=8, padding=3)
    axes.set_yticks(positions, names, fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12)  # leaves room for the label of a bar of 100 %
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
