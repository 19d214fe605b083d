"""The part of `predict` for videos that all models of images have in common."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from itertools import chain
from typing import Any, ClassVar

import numpy as np
from tqdm import tqdm

from eva_backbone.errors import InputError
from eva_engine.atomic import atomic_path

from .file_task import FileTask, with_suffix
from .frame_run import frame_results
from .frame_source import opened_frames
from .in_order import InOrder
from .inputs import Input
from .predictor import Predictor
from .video import VideoFrame, VideoReader, VideoWriter
from .video_document import open_video_document


class FrameFileTask(FileTask):
    """Predict on images, and on the frames of videos, cameras and streams, with bounded memory.

    For every video, `<stem>.json` has a line for each frame. If the task draws videos, `<stem>.mp4` shows the findings.

    Args:
        predictor: Predictor of images.
        max_frames: Number of frames to process from the beginning of each video; None for all.
        frame_stride: Only the first of every `frame_stride` frames of a video is processed and written.

    Attributes:
        draws_videos: Whether the findings are drawn into videos by `draw_frame`.
        track: Whether objects get identities across the frames of a video.
        frame_key: Name of the findings in the line of a frame.
    """

    kinds = ("image", "video")
    draws_videos: bool = False
    track: bool = False
    frame_key: ClassVar[str]

    def __init__(self, predictor: Predictor[Any, Any], *, max_frames: int | None = None, frame_stride: int = 1) -> None:
        super().__init__(predictor)
        self.counts["frames"] = 0
        self.max_frames, self.frame_stride = max_frames, frame_stride
        self.num_dropped = 0

    def open(self, stack: ExitStack) -> None:  # noqa: ARG002
        """Check the options for videos.

        Raises:
            InputError: One was given, and there is no video.
        """
        given = {
            "--max-frames": self.max_frames is not None,
            "--frame-stride": self.frame_stride != 1,
            "--track": self.track,
        }
        flags = [flag for flag, is_given in given.items() if is_given]
        if flags and not any(item.kind == "video" for item in self.inputs):
            raise InputError(f"{', '.join(flags)}: for videos, but there is none among the inputs; leave it out.")

    def draw_frame(self, frame: np.ndarray, result: Any) -> np.ndarray:
        """Return a frame [H, W, 3] uint8 RGB with the findings drawn in, of the same size; called in a thread."""
        raise NotImplementedError

    def video_facts(self) -> Mapping[str, Any]:
        """Return what the document of a video says before its frames, in addition to its name and size."""
        return {}

    @contextmanager
    def frame_files(self, item: Input) -> Iterator[Callable[[VideoFrame, Any], None]]:  # noqa: ARG002
        """Yield a function that writes the result of a frame to further files, which are closed after the block."""
        yield lambda frame, result: None  # noqa: ARG005

    def count(self, result: Any) -> None:
        """Count the findings in a frame, if the task counts any."""

    def predict_video(self, item: Input) -> None:
        """Predict on the frames of a video; the finished part of an interrupted or damaged video is kept.

        Raises:
            InputError: The video is damaged; the frames that could be read are written.
        """
        with opened_frames(item, frame_stride=self.frame_stride) as reader:
            results = frame_results(self.predictor, reader, max_frames=self.max_frames, track=self.track)
            with closing(results):
                num_frames = self._write_video(item, reader, results)
            self.num_dropped += reader.num_dropped
            problem = reader.problem
        if problem:
            raise InputError(f"{item.name}: {problem}; the {num_frames} frames that could be read are written.")

    def _write_video(self, item: Input, reader: VideoReader, results: Iterator[tuple[VideoFrame, Any]]) -> int:
        """Draw and write the results of a video, and return the number of frames."""
        first = next(results)
        height, width = first[0].image.shape[:2]
        header = {"video": item.name, "width": width, "height": height, **self.video_facts()}
        interruption: BaseException | None = None
        with (
            tqdm(total=self._num_frames(reader), desc=item.path.name, unit="frame", leave=False) as progress,
            self._video_writer(item, reader, width, height) as writer,
            open_video_document(with_suffix(self.folder / item.stem, ".json"), header) as record,
            self.frame_files(item) as write_files,
            InOrder() as behind,
        ):

            def write(frame: VideoFrame, result: Any) -> None:
                if writer is not None:
                    writer.write(self.draw_frame(frame.image, result), frame.pts)
                record.add(frame.index, frame.time, {self.frame_key: result.records()})
                write_files(frame, result)

            try:
                for frame, result in chain([first], results):
                    behind.run(write, frame, result)
                    self.count(result)
                    progress.update()
                behind.wait()
            except BaseException as error:
                # A long video may have taken hours: complete the files before the error is raised again.
                interruption = error
                behind.wait()
                if record.num_frames == 0:
                    raise
            problem = f"stopped by {type(interruption).__name__}" if interruption else reader.problem
            record.close(problem)
            self.counts["frames"] += record.num_frames
        if interruption:
            raise interruption
        return record.num_frames

    def _num_frames(self, reader: VideoReader) -> int | None:
        """Return the number of frames to process, or None if it is not known."""
        limits = [self.max_frames] if self.max_frames else []
        if reader.num_frames:
            limits.append(-(-reader.num_frames // self.frame_stride))  # rounded up
        return min(limits, default=None)

    def remarks(self) -> Counter[str]:
        """Return the remarks of the predictor, and how many frames of cameras and streams were left out."""
        dropped = (
            "{} frames of cameras and streams were left out, because they came faster than the model works; give "
            "--frame-stride to leave out frames at equal intervals"
        )
        return super().remarks() + Counter({dropped: self.num_dropped})

    @contextmanager
    def _video_writer(self, item: Input, reader: VideoReader, width: int, height: int) -> Iterator[VideoWriter | None]:
        """Open the drawn video, if the task draws any."""
        if not self.draws_videos:
            yield None
            return
        rate = reader.rate / self.frame_stride
        with (
            atomic_path(with_suffix(self.folder / item.stem, ".mp4")) as partial,
            VideoWriter(partial, width, height, rate, reader.time_base) as writer,
        ):
            yield writer
