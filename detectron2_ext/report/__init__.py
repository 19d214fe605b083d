"""Images for the report page of a detection run."""

from .detection_images import draw_image_pairs, read_predictions, run_image_pairs, spread_evenly

__all__ = ["draw_image_pairs", "read_predictions", "run_image_pairs", "spread_evenly"]
