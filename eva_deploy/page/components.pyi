"""Inputs of the page whose files only the readers of this project open."""

from pathlib import Path
from typing import Any

import gradio as gr

def _stored_file(payload: Any) -> str | None:
    """Return the file of an upload, without opening it."""
    return None if payload is None else str(payload.path)

class ImageUpload(gr.Image):
    """An image from a file, the clipboard or a camera; gradio itself would open it with all formats of Pillow."""

    is_template = True  # shown as its base class

    def preprocess(self, payload: Any) -> str | None:  # type: ignore[override]
        """Return the name of the file."""
        return _stored_file(self, payload)
    from collections.abc import Callable, Sequence
    from typing import TYPE_CHECKING, Any, Literal

    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

class VideoUpload(gr.Video):
    """A video from a file or a camera; gradio itself would convert some of them with FFmpeg."""

    is_template = True

    def preprocess(self, payload: Any) -> str | None:
        """Return the name of the file."""
        return _stored_file(self, payload)
    from collections.abc import Callable, Sequence
    from typing import TYPE_CHECKING, Any, Literal

    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

def file_name(path: str) -> str:
    """Return the name that an upload has in the folder of gradio, which is that of the client's file."""
    return Path(path).name
