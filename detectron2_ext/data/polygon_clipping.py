"""Clip polygons to a rectangle without changing what pycocotools fills inside of it, also if they cross themselves."""

from collections import defaultdict

import numpy as np

Point = tuple[float, float]


def clip_polygons(polygons: list[np.ndarray], x0: float, y0: float, width: float, height: float) -> list[np.ndarray]:
    """Clip polygons to a rectangle.

    pycocotools fills a polygon by the even-odd rule: a point is inside if a ray from it crosses the outline an odd
    number of times. A polygon that crosses or touches itself, such as a figure of eight or a ring with a slit, keeps
    these inner points here; geometry libraries would first turn it into another, valid polygon.

    Args:
        polygons: Points [N, 2] (x, y) of each polygon.
        x0, y0: Top left corner of the rectangle in pixels.
        width, height: Its size in pixels.

    Returns:
        The parts inside the rectangle, as points relative to its corner. A polygon that lies completely outside is left
        out.
    """
    clipped = []
    for polygon in polygons:
        points = np.asarray(polygon, dtype=np.float64) - (x0, y0)
        if (points < 0).any() or (points > (width, height)).any():
            points = _clip(points, width, height)
        if len(points):
            clipped.append(points)
    return clipped


def _clip(points: np.ndarray, width: float, height: float) -> np.ndarray:
    """Clip at one side after the other (Sutherland and Hodgman 1974), then remove the edges along the border."""
    for axis, limit, sign in ((0, 0.0, 1), (0, width, -1), (1, 0.0, 1), (1, height, -1)):
        points = _clip_at_line(points, axis, limit, sign)
        if not len(points):
            return points
    corners = [tuple(point) for point in points.tolist()]
    edges = list(zip(corners, corners[1:] + corners[:1], strict=True))
    inner = [(start, end) for start, end in edges if start != end and not _on_border(start, end, width, height)]
    for axis, limit in ((0, 0.0), (0, width), (1, 0.0), (1, height)):
        along = [edge for edge in edges if edge[0][axis] == edge[1][axis] == limit]
        inner += _odd_parts(along, axis, limit)
    return np.array(_one_polygon(inner)).reshape(-1, 2)


def _clip_at_line(points: np.ndarray, axis: int, limit: float, sign: int) -> np.ndarray:
    """Keep the side of a line on which `sign * coordinate` is at least `sign * limit`."""
    following = np.roll(points, -1, axis=0)
    start, end = sign * (points[:, axis] - limit), sign * (following[:, axis] - limit)
    crossing = (start >= 0) != (end >= 0)
    fraction = np.divide(start, start - end, out=np.zeros_like(start), where=crossing)
    crossings = points + fraction[:, None] * (following - points)
    crossings[:, axis] = limit
    # Each point is followed by the intersection of its edge with the line.
    kept = np.stack([start >= 0, crossing], axis=1).reshape(-1)
    return np.stack([points, crossings], axis=1).reshape(-1, 2)[kept]


def _on_border(start: Point, end: Point, width: float, height: float) -> bool:
    return start[0] == end[0] in (0.0, width) or start[1] == end[1] in (0.0, height)


def _odd_parts(edges: list[tuple[Point, Point]], axis: int, limit: float) -> list[tuple[Point, Point]]:
    """Return the parts of a border line that an odd number of edges cover.

    The other parts only connect points at which the polygon enters the rectangle. They enclose nothing, but would
    enlarge the bounding box.
    """
    ends = sorted(point[1 - axis] for edge in edges for point in edge)
    parts = []
    for low, high in zip(ends[0::2], ends[1::2], strict=True):
        if low < high:
            parts.append(((limit, low), (limit, high)) if axis == 0 else ((low, limit), (high, limit)))
    return parts


def _one_polygon(edges: list[tuple[Point, Point]]) -> list[Point]:
    """Connect edges, of which an even number meets in every point, to one closed line.

    Several loops are connected by lines that are walked in both directions and so enclose nothing.
    """
    edges_at: dict[Point, list[int]] = defaultdict(list)
    for index, (start, end) in enumerate(edges):
        edges_at[start].append(index)
        edges_at[end].append(index)
    used = [False] * len(edges)
    line: list[Point] = []
    for first, (origin, _) in enumerate(edges):
        if used[first]:
            continue
        loop = [origin]
        while edges_at[loop[-1]]:
            index = edges_at[loop[-1]].pop()
            if not used[index]:
                used[index] = True
                start, end = edges[index]
                loop.append(end if loop[-1] == start else start)
        line += loop if not line else [*loop, line[0]]
    return line
