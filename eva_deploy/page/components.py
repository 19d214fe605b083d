"""Inputs of the page whose files only the readers of this project open."""

from pathlib import Path
from typing import Any

import gradio as gr


def _stored_file(component: gr.components.Component, payload: Any) -> str | None:
    """Return the file of an upload, without opening it.

    Raises:
        gradio.Error: The file is not an upload. Gradio itself checks only messages in the form that its page sends.
    """
    if payload is None:
        return None
    path = Path(payload.path).resolve()
    if not path.is_relative_to(Path(component.GRADIO_CACHE).resolve()):
        raise gr.Error("files are uploaded, not named.", print_exception=False)
    return str(path)


class ImageUpload(gr.Image):
    """An image from a file, the clipboard or a camera; gradio itself would open it with all formats of Pillow."""

    is_template = True  # shown as its base class

    def preprocess(self, payload: Any) -> str | None:  # type: ignore[override]
        """Return the name of the file."""
        return _stored_file(self, payload)


class VideoUpload(gr.Video):
    """A video from a file or a camera; gradio itself would convert some of them with FFmpeg."""

    is_template = True

    def preprocess(self, payload: Any) -> str | None:
        """Return the name of the file."""
        return _stored_file(self, payload)
