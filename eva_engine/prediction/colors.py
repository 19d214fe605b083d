"""Colors for classes and objects that are easy to distinguish."""

import colorsys

Color = tuple[int, int, int]

# Steps of this fraction of the color circle keep the hues of any number of colors well apart.
GOLDEN_RATIO = 0.618033988749895


def palette_color(index: int) -> Color:
    """Return color number `index` of an infinite palette of bright RGB colors; consecutive hues differ strongly."""
    value, saturation = ((1.0, 0.75), (0.85, 0.95), (1.0, 0.5))[index % 3]
    red, green, blue = colorsys.hsv_to_rgb((0.58 + index * GOLDEN_RATIO) % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)
