"""Predictions on uploaded files, for the page and for programs."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from eva_backbone.errors import InputError
from eva_engine.prediction.file_run import predict_batch, predict_files
from eva_engine.prediction.json_text import to_json
from eva_engine.prediction.load_predictor import check_options
from eva_engine.prediction.predictor import Predictor
from eva_engine.prediction.result import Result
from eva_engine.tasks import Task

from .limits import MAX_LABEL_LENGTH, MAX_LABELS, Limits, RefusedError
from .uploads import Upload, stored_upload, upload_kind
from .worker import Worker

# Options that a request may change. Others could name files of the server.
_CALL_OPTIONS = ("score_threshold", "max_detections", "top", "labels")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """The answer to a request.

    Attributes:
        name: Name of the upload.
        document: JSON text, the same as `predict` writes.
        result: The result; None for a video of which every frame has one.
        note: What was wrong with the file although it could be predicted on, or "".
    """

    name: str
    document: str
    result: Result | None
    note: str = ""


class PredictionService:
    """Predict on uploads, one at a time.

    Args:
        predictor: The predictor.
        task: Its task.
        limits: Limits on requests.

    Attributes:
        kinds: Kinds of uploads that the model accepts, "image" or "video".
        options: Names of the options that a request may give.
    """

    def __init__(self, predictor: Predictor[Any, Any], task: Task, limits: Limits) -> None:
        self.predictor, self.task, self.limits = predictor, task, limits
        self.kinds: tuple[str, ...] = task.load("file_task").kinds
        accepted = {*predictor.call_options} & {*_CALL_OPTIONS}
        self._options = [option for option in task.predict_options if option.name in accepted]
        self.options = tuple(option.name for option in self._options)
        self._worker = Worker(limits.max_waiting)
        self._last: tuple[Mapping[str, Any], Predictor[Any, Any]] = ({}, predictor)

    def close(self) -> None:
        """Refuse the requests that wait."""
        self._worker.close()

    def predict(
        self,
        content: bytes | Path,
        name: str,
        content_type: str = "",
        drawn: Path | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Predict on an upload, after those that came before.

        Args:
            content: The bytes, or the file in which they are.
            name: File name of the client.
            content_type: Media type of the upload, or "".
            drawn: File for a video with its findings drawn in, if the task draws videos; None for none.
            options: Values of some of `options`.

        Raises:
            RefusedError: The request cannot be answered.
            InputError: The file cannot be read or predicted on.
        """
        kind = upload_kind(name, content_type, self.kinds)
        checked = self._checked(options or {})
        with stored_upload(content, name, kind, self.limits) as upload:
            try:
                return self._worker.call(lambda: self._predict(upload, checked, drawn))
            except InputError:
                raise
            except Exception as error:  # a bug, whose message may show more than a client should see
                logger.exception("a request failed")
                raise RefusedError(
                    "the prediction failed; the terminal of the server shows why.", HTTPStatus.INTERNAL_SERVER_ERROR
                ) from error

    def _checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        labels = options.get("labels")
        if labels is not None:
            _check_labels(labels)
        try:
            return check_options(self._options, options, f"a request to a model for {self.task.name}")
        except InputError as error:
            raise RefusedError(str(error)) from error

    def _predict(self, upload: Upload, options: Mapping[str, Any], drawn: Path | None) -> Answer:
        predictor = self._with_options(options)
        try:
            predictor.check_ready()
        except InputError as error:
            raise RefusedError(str(error)) from error
        if upload.item.kind not in predictor.kinds:
            return self._predict_frames(predictor, upload, drawn)

        def fail(_: object, error: InputError) -> None:
            raise error

        ((_, result),) = predict_batch(predictor, [(upload, predictor.read(upload.item))], fail)
        result.path = upload.name
        return Answer(upload.name, to_json(result.to_dict()), result)

    def _predict_frames(self, predictor: Predictor[Any, Any], upload: Upload, drawn: Path | None) -> Answer:
        """Predict on the frames of a video as the command does."""
        options: dict[str, Any] = {"max_frames": self.limits.max_frames, "no_images": drawn is None}
        accepted = {option.name for option in self.task.output_options}
        file_task = self.task.load("file_task")(
            predictor, **{name: options[name] for name in options.keys() & accepted}
        )
        output = upload.item.path.parent / "results"
        done = predict_files(file_task, [upload.item], output, report=lambda _: None)
        note = upload.public(" ".join(done.failures))
        written = output / f"{upload.item.stem}.json"
        if not written.is_file():
            raise InputError(note)
        if drawn is not None and file_task.draws_videos:
            shutil.move(output / f"{upload.item.stem}.mp4", drawn)
        return Answer(upload.name, upload.public(written.read_text(encoding="utf-8")).rstrip("\n"), None, note)

    def _with_options(self, options: Mapping[str, Any]) -> Predictor[Any, Any]:
        """Return the predictor for a request; the last one is kept, because labels take time to encode."""
        if options != self._last[0]:
            try:
                self._last = (options, self.predictor.with_options(**options))
            except InputError as error:
                raise RefusedError(str(error)) from error
        return self._last[1]


def _check_labels(labels: Sequence[str]) -> None:
    """Check the labels of a client. A single one could also be the name of a file."""
    if not 2 <= len(labels) <= MAX_LABELS or max(map(len, labels)) > MAX_LABEL_LENGTH:
        raise RefusedError(
            f"give 2 to {MAX_LABELS} labels of at most {MAX_LABEL_LENGTH} characters each, not {len(labels)} labels."
        )
