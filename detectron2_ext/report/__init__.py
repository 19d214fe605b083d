"""Images for the page of a detection run."""

from .detection_images import detection_image_pairs, image_pairs, read_predictions, spread_evenly

__all__ = ["detection_image_pairs", "image_pairs", "read_predictions", "spread_evenly"]
