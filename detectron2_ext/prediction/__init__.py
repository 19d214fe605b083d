"""Images, folders and videos in; detections, pictures and JSON out."""

from .drawing import draw_instances

__all__ = ["draw_instances"]
