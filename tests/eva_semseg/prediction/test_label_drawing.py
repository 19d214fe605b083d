import numpy as np
import pytest

from eva_engine.prediction.colors import palette_color
from eva_semseg.prediction import add_legend, class_fractions, draw_labels

GREY = np.full((40, 60, 3), 100, dtype=np.uint8)


def halves(top: int, bottom: int) -> np.ndarray:
    labels = np.full((40, 60), top)
    labels[20:] = bottom
    return labels


def test_classes_have_their_colours_and_a_line_between_them() -> None:
    drawn = draw_labels(GREY, halves(0, 1), opacity=0.5)
    assert drawn[5, 5].tolist() == np.rint(50 + np.array(palette_color(0)) / 2).tolist()
    assert drawn[30, 5].tolist() == np.rint(50 + np.array(palette_color(1)) / 2).tolist()
    assert drawn[19, 5].tolist() == list(palette_color(0))
    assert drawn[20, 5].tolist() == list(palette_color(1))
    assert (GREY == 100).all()


def test_unlabelled_pixels_keep_their_colour() -> None:
    drawn = draw_labels(GREY, halves(255, 1))
    assert (drawn[:20] == GREY[:20]).all()
    assert (drawn[21:] != GREY[21:]).any()


def test_labels_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit an image of"):
        draw_labels(GREY, np.zeros((40, 61), dtype=int))


@pytest.mark.parametrize(
    ("labels", "fractions"),
    [
        (halves(0, 1), {0: 0.5, 1: 0.5}),
        (halves(255, 7), {7: 0.5}),
        (np.full((40, 60), 255), {}),
        (np.repeat([3, 4, 4, 4], 600).reshape(40, 60), {4: 0.75, 3: 0.25}),
    ],
)
def test_fractions_the_largest_first(labels, fractions) -> None:
    assert class_fractions(labels) == pytest.approx(fractions)
    assert list(class_fractions(labels)) == list(fractions)


@pytest.mark.parametrize("count", [0, 2, 40])
def test_the_legend_is_at_the_right_of_the_image(count) -> None:
    fractions = dict.fromkeys(range(count), 1 / 40)
    drawn = add_legend(GREY, fractions, [f"class {number}" for number in range(40)])
    assert (drawn[:40, :60] == GREY).all()
    assert drawn.shape[1] > 60
    assert drawn.shape[0] >= 40
    colors = {tuple(pixel) for pixel in drawn[:, 60:].reshape(-1, 3).tolist()}
    assert {palette_color(number) for number in range(min(count, 24))} <= colors
    assert palette_color(30) not in colors or count == 0
