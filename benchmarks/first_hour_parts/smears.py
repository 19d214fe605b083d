"""Drawn photos of blood smears: many overlapping red cells, few white cells, small platelets, varying light."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 640, 480
CLASSES = ("red cell", "white cell", "platelet")
_LEAST_SIDE = 6  # of a box at the border, in pixels

Box = tuple[float, float, float, float]  # x, y, width, height
Color = tuple[float, float, float]


class Smear:
    """One photo of 640 x 480 pixels, drawn at random.

    Args:
        rng: Source of all random numbers.

    Attributes:
        objects: Class number from 0 and box of each cell that is not outside.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.objects: list[tuple[int, Box]] = []
        background = rng.uniform((205, 195, 195), (235, 225, 225))
        self._image = Image.new("RGB", (WIDTH, HEIGHT), tuple(int(value) for value in background))
        radius = rng.uniform(42, 54)
        red = rng.uniform((180, 130, 125), (215, 165, 165))
        for _ in range(rng.integers(4, 22)):
            self._red_cell(radius * rng.uniform(0.8, 1.15), red + rng.normal(0, 6, 3))
        for _ in range(rng.choice([0, 1, 1, 1, 2])):
            self._white_cell(radius * rng.uniform(1.4, 2.0))
        for _ in range(rng.poisson(1.2)):
            outline = self._outline(*self._place(), rng.uniform(12, 20), 0.1)
            self._fill(outline, (140, 100, 165), 0.8)
            self._add(2, outline)

    def photo(self) -> Image.Image:
        """Return the photo: blurred, unevenly lit and with noise."""
        rng = self._rng
        blurred = self._image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 1.6)))
        light = np.linspace(-1, 1, WIDTH) * rng.normal(0, 10) + np.linspace(-1, 1, HEIGHT)[:, None] * rng.normal(0, 10)
        pixels = np.asarray(blurred, dtype=float) + light[..., None]
        return Image.fromarray(np.clip(pixels + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8))

    def _red_cell(self, radius: float, color: np.ndarray) -> None:
        outline = self._outline(*self._place(), radius, 0.03)
        middle = outline.mean(axis=0)
        # Thicker at the edge than in the middle.
        for size, change, opacity in ((1.0, -12, 0.75), (0.93, 0, 0.8), (0.4, 22, 0.6)):
            self._fill((outline - middle) * size + middle, color + change, opacity)
        self._add(0, outline)

    def _white_cell(self, radius: float) -> None:
        x, y = self._place(margin=60)
        outline = self._outline(x, y, radius, 0.05)
        self._fill(outline, (200, 175, 205), 0.7)
        for _ in range(self._rng.integers(1, 4)):
            dx, dy = self._rng.normal(0, radius / 4, 2)
            lobe = self._outline(x + dx, y + dy, radius * self._rng.uniform(0.35, 0.6), 0.08)
            self._fill(lobe, (120 + self._rng.normal(0, 8), 85, 155), 0.85)
        self._add(1, outline)

    def _place(self, margin: float = 0) -> tuple[float, float]:
        return self._rng.uniform(margin, WIDTH - margin), self._rng.uniform(margin, HEIGHT - margin)

    def _outline(self, x: float, y: float, radius: float, roughness: float) -> np.ndarray:
        """Return the points [40, 2] of a rough ellipse."""
        rng = self._rng
        angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        waves = np.cos(3 * angles + rng.uniform(0, 6)) + np.cos(2 * angles + rng.uniform(0, 6))
        radii = radius * (1 + roughness * waves)
        stretch, turn = rng.uniform(0.88, 1.12), rng.uniform(0, 3)
        along, across = radii * np.cos(angles) * stretch, radii * np.sin(angles) / stretch
        dx = along * np.cos(turn) - across * np.sin(turn)
        dy = along * np.sin(turn) + across * np.cos(turn)
        return np.stack([x + dx, y + dy], axis=1)

    def _fill(self, outline: np.ndarray, color: Color | np.ndarray, opacity: float) -> None:
        mask = Image.new("L", (WIDTH, HEIGHT), 0)
        ImageDraw.Draw(mask).polygon([(x, y) for x, y in outline], fill=int(255 * opacity))
        rgb = tuple(int(np.clip(value, 0, 255)) for value in color)
        self._image.paste(rgb, (0, 0), mask.filter(ImageFilter.GaussianBlur(1.2)))

    def _add(self, class_number: int, outline: np.ndarray) -> None:
        left, top = np.maximum(outline.min(axis=0), 0)
        right, bottom = np.minimum(outline.max(axis=0), (WIDTH, HEIGHT))
        if min(right - left, bottom - top) >= _LEAST_SIDE:
            self.objects.append((class_number, (float(left), float(top), float(right - left), float(bottom - top))))
