"""The page: inputs on the left, findings on the right, for images and for videos."""

import secrets
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from eva_backbone.errors import InputError
from eva_engine.prediction.file_task import with_suffix
from eva_engine.prediction.inputs import Input
from eva_engine.prediction.result import Result

from .endpoint import PATH
from .kept_results import KeptResults
from .service import Answer, PredictionService
from .table import findings_table

# The page runs a detector with this threshold, so that the slider can show less likely objects.
LOWEST_THRESHOLD = 0.05
_TABLE_HEIGHT = 300  # pixels
_CLEAN_EVERY, _KEEP_FILES = 300, 1800  # seconds


class Page:
    """The page of a model.

    Args:
        service: Predictions on uploads.
        folder: Folder of gradio's files; gradio serves what is written there to clients that know the name.
        examples: Files that the page offers.
        title: Heading.
    """

    def __init__(self, service: PredictionService, folder: Path, examples: Sequence[Input], title: str) -> None:
        self._service, self._folder = service, folder
        self._kept = KeptResults()
        self._has_threshold = "score_threshold" in service.options
        # Of the command line.
        self._given_threshold = float(getattr(service.predictor, "score_threshold", 0))
        self._lowest_threshold = min(self._given_threshold, LOWEST_THRESHOLD)
        self._has_labels = "labels" in service.options
        with gr.Blocks(analytics_enabled=False, title=title, delete_cache=(_CLEAN_EVERY, _KEEP_FILES)) as self.blocks:
            gr.Markdown(f"# {title}")
            if len(service.kinds) == 1:
                self._add(service.kinds[0], examples)
            else:
                with gr.Tabs():
                    for kind in service.kinds:
                        with gr.Tab(kind.capitalize()):
                            self._add(kind, examples)
            minutes = (_CLEAN_EVERY + _KEEP_FILES) // 60
            gr.Markdown(f"Files are deleted after at most {minutes} minutes. Programs send images to `POST {PATH}`.")
        # One request at a time; those of the slider do not wait for the model.
        self.blocks.queue(max_size=service.limits.max_waiting, default_concurrency_limit=1)

    def _add(self, kind: str, examples: Sequence[Input]) -> None:
        """Add the inputs and outputs of a kind of files, and connect them."""
        is_by_frames = kind not in self._service.predictor.kinds
        with gr.Row():
            with gr.Column():
                upload = _upload_component(kind)
                labels = self._labels_box()
                threshold = self._threshold_slider(is_by_frames)
                button = gr.Button("Predict", variant="primary", elem_id=f"predict-{kind}")
                of_kind = [str(item.path) for item in examples if item.kind == kind]
                if of_kind:
                    self._add_examples(of_kind, upload, kind)
            with gr.Column():
                message = gr.Textbox(label="Result", interactive=False, elem_id=f"message-{kind}")
                if is_by_frames:
                    drawn: gr.components.Component = gr.Video(
                        label="Findings", interactive=False, buttons=["download"], elem_id=f"findings-{kind}"
                    )
                    table = None
                else:
                    drawn = gr.Image(
                        label="Findings",
                        type="filepath",
                        interactive=False,
                        buttons=["download", "fullscreen"],
                        elem_id=f"findings-{kind}",
                    )
                    table = gr.Dataframe(
                        label="Table",
                        interactive=False,
                        visible=False,
                        max_height=_TABLE_HEIGHT,
                        elem_id=f"table-{kind}",
                    )
                download = gr.DownloadButton("Download JSON", interactive=False, elem_id=f"json-{kind}")
        key = gr.State("")
        outputs = [message, drawn, download, *([] if table is None else [table, key])]
        inputs = [upload, *(item for item in (labels, threshold) if item is not None)]
        predict = self._predict_frames if is_by_frames else self._predict
        button.click(
            predict,
            inputs,
            outputs,
            preprocess=False,  # gradio would open images with all formats of Pillow, and convert videos with FFmpeg
            concurrency_id="model",
            show_progress_on=drawn,
            api_visibility="private",
        )
        if threshold is not None and table is not None:
            threshold.change(
                self._show_again,
                [key, threshold],
                [message, drawn, download, table],
                concurrency_limit=4,
                trigger_mode="always_last",
                show_progress="hidden",
                api_visibility="private",
            )

    def _add_examples(self, files: Sequence[str], upload: gr.Image | gr.Video, kind: str) -> None:
        """Add files that are chosen by a click; unlike `gr.Examples`, the click goes through the queue as all else."""

        def choose(index: int) -> str:
            copied = self._new_file(Path(files[index]).name)
            shutil.copyfile(files[index], copied)
            return str(copied)

        dataset = gr.Dataset(
            components=[_upload_component(kind, render=False)],
            samples=[[file] for file in files],
            label="Examples",
            type="index",
            elem_id=f"examples-{kind}",
        )
        dataset.click(
            choose, [dataset], [upload], concurrency_limit=4, show_progress="hidden", api_visibility="private"
        )

    def _labels_box(self) -> gr.Textbox | None:
        if not self._has_labels:
            return None
        given = "\n".join(self._service.predictor.class_names)
        return gr.Textbox(given, label="Texts to compare with, one per line", lines=4, elem_id="labels")

    def _threshold_slider(self, is_by_frames: bool) -> gr.Slider | None:
        if not self._has_threshold:
            return None
        info = "of the next prediction" if is_by_frames else None
        name = "threshold-video" if is_by_frames else "threshold"
        lowest, given = self._lowest_threshold, self._given_threshold
        return gr.Slider(lowest, 1, given, step=0.01, label="Score threshold", info=info, elem_id=name)

    def _options(self, values: Sequence[Any]) -> tuple[dict[str, Any], float | None]:
        """Return the options of a request, and the threshold, from the values of the inputs that the page has."""
        given = list(values)
        options: dict[str, Any] = {}
        if self._has_labels:
            lines = str(given.pop(0) or "").splitlines()
            options["labels"] = [line for line in lines if line.strip()]
        return options, float(given.pop(0)) if self._has_threshold else None

    def _predict(self, upload: Any, *values: Any) -> list[Any]:
        def predict(path: Path) -> list[Any]:
            options, threshold = self._options(values)
            if threshold is not None:
                options["score_threshold"] = self._lowest_threshold
            answer = self._service.predict(path, path.name, options=options)
            assert answer.result is not None
            key = "" if threshold is None else self._kept.add(answer.result)
            return [*self._show(answer.result, threshold), key]

        return self._or_message(upload, predict, 5)

    def _predict_frames(self, upload: Any, *values: Any) -> list[Any]:
        def predict(path: Path) -> list[Any]:
            options, threshold = self._options(values)
            drawn = self._new_file("findings.mp4")
            if threshold is not None:
                options["score_threshold"] = threshold
            answer: Answer = self._service.predict(path, path.name, "video/", drawn, options)
            written = with_suffix(drawn.parent / Path(answer.name).stem, ".json")
            written.write_text(answer.document + "\n", encoding="utf-8")
            shown = str(drawn) if drawn.is_file() else None
            return [answer.note or "done", shown, gr.DownloadButton(value=written, interactive=True)]

        return self._or_message(upload, predict, 3)

    def _show_again(self, key: str, threshold: float) -> list[Any]:
        """Show the last result with another threshold, without the model."""
        if not key:
            return [gr.skip()] * 4
        try:
            return self._show(self._kept.get(key), threshold)
        except InputError as error:
            return [str(error), *[gr.skip()] * 3]

    def _show(self, result: Result, threshold: float | None) -> list[Any]:
        """Return the message, the drawing, the file to download and the table of a result."""
        if threshold is not None:
            result = result.with_score_threshold(threshold)
        drawn = result.save(self._new_file("findings.jpg"))
        written = result.save(with_suffix(drawn.parent / Path(result.path).stem, ".json"))
        headers, rows = findings_table(result)
        table = gr.Dataframe({"headers": headers, "data": rows}, visible=bool(rows))
        return [result.summary(), str(drawn), gr.DownloadButton(value=written, interactive=True), table]

    def _or_message(self, upload: Any, predict: Callable[[Path], list[Any]], num_outputs: int) -> list[Any]:
        """Return what `predict` returns, or the reason why it cannot, and no findings."""
        try:
            return predict(self._uploaded_file(upload))
        except InputError as error:
            no_file, no_table = gr.DownloadButton(value=None, interactive=False), gr.Dataframe(visible=False)
            nothing = [str(error), None, no_file, no_table, ""]
            return nothing[:num_outputs]

    def _uploaded_file(self, upload: Any) -> Path:
        """Return the file of an upload, whose description is from the client."""
        if upload is None:
            raise InputError("there is no file yet; choose one.")
        path = Path(str(upload["path"])).resolve()
        # Gradio itself checks only descriptions in the form that its page sends.
        if not path.is_relative_to(self._folder.resolve()):
            raise InputError("files are uploaded, not named.")
        return path

    def _new_file(self, name: str) -> Path:
        folder = self._folder / "results" / secrets.token_urlsafe(12)
        folder.mkdir(parents=True)
        return folder / name


def _upload_component(kind: str, render: bool = True) -> gr.Image | gr.Video:
    if kind == "image":
        return gr.Image(
            label="Image",
            type="filepath",
            sources=["upload", "webcam", "clipboard"],
            elem_id="upload-image",
            render=render,
        )
    return gr.Video(label="Video", sources=["upload", "webcam"], elem_id="upload-video", render=render)
