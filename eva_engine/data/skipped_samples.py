"""Bad samples (images, pairs, videos) that a mapper leaves out: counted, named, and not without end."""

import logging

from eva_backbone.errors import InputError

logger = logging.getLogger(__name__)

_MAX_IN_A_ROW = 20


class SkippedSamples:
    """Bad samples met so far by this process (each loader worker counts and logs its own)."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._in_a_row = 0

    def __len__(self) -> int:
        return len(self._files)

    def reset(self) -> None:
        """After a sample that could be used."""
        self._in_a_row = 0

    def add(self, file_name: str, error: InputError) -> None:
        """Name `file_name`, if it is new.

        Raises:
            InputError: 20 bad samples in a row.
        """
        self._in_a_row += 1
        if self._in_a_row >= _MAX_IN_A_ROW:
            raise InputError(
                f"{_MAX_IN_A_ROW} samples in a row could not be used, the last one because: {error} "
                "Check the folder of the data."
            ) from error
        if file_name not in self._files:
            self._files.add(file_name)
            logger.warning("Skipped (%d so far in this worker): %s", len(self), error)
