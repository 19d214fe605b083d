"""Exactly the frames asked for, out of a video file, with PyAV."""

from collections.abc import Container, Iterator
from dataclasses import dataclass

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from eva_backbone.errors import InputError
from eva_engine.prediction.images import MAX_PIXELS
from eva_engine.prediction.video import MAX_DAMAGED_IN_A_ROW, turn_upright

from .chosen_frames import ChooseFrames, ChosenFrames, PrepareFrame
from .packet_index import PacketIndex, index_packets
from .packet_reader import OtherPacketError, PacketReader
from .video_container import VideoContainer

TIME_LIMIT = 60.0


@dataclass(frozen=True)
class Clip:
    """Frames of a video.

    Attributes:
        frames: [T, H, W, 3] uint8 RGB, upright, in the order in which they were asked for.
        num_frames: of the whole video.
        problem: what was wrong with the file although the frames could be read, or None.
    """

    frames: np.ndarray
    num_frames: int
    problem: str | None = None


def read_clip(
    path: str,
    choose: ChooseFrames,
    *,
    prepare: PrepareFrame | None = None,
    time_limit: float = TIME_LIMIT,
    max_pixels: int = MAX_PIXELS,
) -> Clip:
    """Frames of a video file by their numbers, counted from 0 in the order of display.

    A first pass over the file notes the time of every packet without decoding; then only the stretches from a key frame
    to a wanted frame are decoded. Where times are missing or not those of display, as in many AVI files, or the decoder
    gives other frames than the packets promised, all frames are decoded and counted; again, and chosen anew, where they
    are not as many as the packets.

    Args:
        choose: from the number of frames of the video to the numbers wanted, in any order, repeated or not. It can be
            called a second time.
        prepare: applied to every frame [H, W, 3] as it comes, so that only its results are kept; all of one size.
        time_limit: seconds for all of it.
        max_pixels: of a frame as stored.

    Raises:
        InputError: no file, no video in it, no frame that can be read, frames of different sizes, or a limit exceeded.
    """
    with VideoContainer(path, time_limit, max_pixels) as container:
        claimed, end = container.stream.frames, container.end
        index = index_packets(container)
        if index.tells_order and index.num_frames:
            wanted = _WantedFrames(container, choose(index.num_frames), prepare)
            _decode_runs(container, index, wanted)
            if wanted.is_complete:
                # Fewer up to the same end are what an edit list or dropped frames leave.
                is_cut = claimed > len(index.times) and index.times.max() < end
                cut = f"it ends after {index.num_frames} of {claimed} frames" if is_cut else None
                return Clip(wanted.frames, index.num_frames, cut or container.damage)
        wanted, num_frames = _decode_counting(container, index.num_frames, choose, prepare)
        is_short = index.tells_order and num_frames < index.num_frames
        lost = f"{num_frames} of {index.num_frames} frames can be decoded" if is_short else None
        return Clip(wanted.frames, num_frames, lost or container.damage)


def _decode_counting(
    container: VideoContainer, expected: int, choose: ChooseFrames, prepare: PrepareFrame | None
) -> tuple["_WantedFrames", int]:
    """The wanted frames and the number of all, by decoding them all; in one go if there are as many as expected."""
    wanted, num_frames = _WantedFrames(container, choose(max(expected, 1)), prepare), 0
    for frame in _decode_all(container):
        wanted.offer(num_frames, frame)
        num_frames += 1
    if num_frames == 0:
        raise InputError(f"{container.path}: no frame of this video can be read; replace or remove the file.")
    if num_frames == expected:
        return wanted, num_frames
    wanted = _WantedFrames(container, choose(num_frames), prepare)
    for number, frame in enumerate(_decode_all(container)):
        wanted.offer(number, frame)
        if wanted.is_complete:
            break
    return wanted, num_frames


class _WantedFrames:
    """Takes what is wanted out of the frames offered, each as soon as it comes."""

    def __init__(self, container: VideoContainer, numbers: np.ndarray, prepare: PrepareFrame | None) -> None:
        self._container = container
        self._chosen = ChosenFrames(numbers, prepare)
        self._to_rgb = VideoReformatter()
        self._size: tuple[int, int] | None = None

    @property
    def is_complete(self) -> bool:
        return not self._chosen.missing

    @property
    def numbers(self) -> list[int]:
        return self._chosen.missing

    @property
    def frames(self) -> np.ndarray:
        return self._chosen.frames

    def offer(self, number: int, frame: av.VideoFrame) -> None:
        if number not in self._chosen.missing:
            return
        path, size = self._container.path, (frame.width, frame.height)
        if self._size not in (None, size):
            raise InputError(f"{path}: its pictures change size; encode the video anew, or remove the file.")
        self._size = size
        try:
            # One thread: those of a loader's workers would hinder each other.
            rgb = self._to_rgb.reformat(frame, format="rgb24", threads=1).to_ndarray()
        except (av.FFmpegError, ValueError) as error:
            raise InputError(
                f"{path}: pixels of format {frame.format.name} cannot be converted; convert it to H.264."
            ) from error
        if frame.is_corrupt:
            self._container.note_damage()
        self._chosen.put(number, turn_upright(rgb, frame))


def _decode_runs(container: VideoContainer, index: PacketIndex, wanted: _WantedFrames) -> None:
    frame_of_packet = {index.packet_of(number): number for number in wanted.numbers}
    number_of_time = {int(index.times[packet]): number for packet, number in frame_of_packet.items()}
    reader = PacketReader(container, index)
    try:
        for first, last in index.runs(frame_of_packet):
            # Files mark packets as key frames that are none; what is decoded from there on is not whole.
            is_whole = first == 0
            for frame in _decode_run(container, reader, first, last, frame_of_packet):
                is_whole = is_whole or (frame.key_frame and frame.pts == index.times[first])
                if is_whole and frame.pts in number_of_time:
                    wanted.offer(number_of_time[frame.pts], frame)
    except OtherPacketError:
        return


def _decode_run(
    container: VideoContainer, reader: PacketReader, first: int, last: int, needed: Container[int]
) -> Iterator[av.VideoFrame]:
    for number, packet in enumerate(reader.read(first, last), start=first):
        if number == first:  # reading it may have opened the file anew, with another decoder
            decoder = container.stream.codec_context
            decoder.flush_buffers()
        # Other formats have pictures that are marked like this and still referred to.
        if decoder.name == "h264":
            decoder.skip_frame = "DEFAULT" if number == first or number in needed else "NONREF"
        yield from _decode(container, packet)
    yield from _decode(container, None)


def _decode(container: VideoContainer, packet: av.Packet | None) -> list[av.VideoFrame]:
    try:
        return container.stream.codec_context.decode(packet)
    except (av.FFmpegError, EOFError):
        container.note_damage()
        return []


def _decode_all(container: VideoContainer) -> Iterator[av.VideoFrame]:
    container.reopen()
    in_a_row = 0
    for packet in container.packets():
        frames = _decode(container, packet)
        in_a_row = 0 if frames else in_a_row + 1
        if in_a_row > MAX_DAMAGED_IN_A_ROW:
            break
        yield from frames
    yield from _decode(container, None)
