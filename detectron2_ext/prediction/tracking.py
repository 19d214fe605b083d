"""Give detected objects identities across the frames of a video, with ByteTrack of the package trackers."""

from dataclasses import replace

import numpy as np

from eva_backbone.errors import InputError, install_extra

from .result import DetectionResult

_MIN_FIRST_SCORE = 0.5
_LOST_SECONDS = 1.0


def check_tracking() -> None:
    """Raise InputError if the package trackers is not installed."""
    try:
        import trackers  # noqa: F401
    except ImportError as error:
        raise InputError(f"tracking needs the package trackers: {install_extra('track')}.") from error


class ObjectTracker:
    """Track objects by their boxes: ByteTrack (https://arxiv.org/abs/2110.06864).

    An identity begins when an object is found in two frames in a row with a score of at least 0.5, or that of the
    detector's threshold if it is higher. It continues through detections with lower scores, and through gaps of up to
    a second. The class does not matter, so that an object keeps its identity when the detector changes its mind.

    Args:
        rate: Frames per second that are given to `update`.
        score_threshold: Score threshold of the detector.

    Raises:
        InputError: The package trackers is not installed.
    """

    def __init__(self, rate: float, score_threshold: float) -> None:
        check_tracking()
        from trackers import ByteTrackTracker

        first_score = max(score_threshold, _MIN_FIRST_SCORE)
        self._tracker = ByteTrackTracker(
            lost_track_buffer=round(30 * _LOST_SECONDS),  # in frames of a video with 30 frames per second
            frame_rate=rate,
            track_activation_threshold=first_score,
            high_conf_det_threshold=first_score,
        )

    def update(self, result: DetectionResult) -> DetectionResult:
        """Return the objects of the next frame with `track_ids`, in the same order."""
        import supervision

        detections = supervision.Detections(
            xyxy=result.boxes, confidence=result.scores, data={"position": np.arange(len(result))}
        )
        tracked = self._tracker.update(detections)
        track_ids = np.zeros(len(result), dtype=np.int64)
        if len(tracked) and tracked.tracker_id is not None:
            # The tracker changes the order, counts from 0, and marks objects without identity by -1.
            track_ids[tracked.data["position"]] = tracked.tracker_id + 1
        return replace(result, track_ids=track_ids)
