"""Colors for classes and objects that are easy to tell apart."""

import colorsys

Color = tuple[int, int, int]


GOLDEN_RATIO = 0.618033988749895


def palette_color(index: int) -> Color:
    """The ``index``-th of an endless row of bright RGB colours, neighbours far apart in hue."""
    value, saturation = ((1.0, 0.75), (0.85, 0.95), (1.0, 0.5))[index % 3]
    red, green, blue = colorsys.hsv_to_rgb((0.58 + index * GOLDEN_RATIO) % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)
