"""The web application: the page, the endpoint, and what guards both."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import gradio as gr
from starlette.applications import Starlette
from starlette.middleware import Middleware

from eva_engine.prediction.inputs import Input

from .endpoint import prediction_route
from .guard import Guard
from .layout import Page
from .service import PredictionService


class Application(NamedTuple):
    """An application with what ends its open requests.

    Attributes:
        handler: The application.
        close: Function that ends the requests that wait for the model, and the connections of open pages.
    """

    handler: Starlette
    close: Callable[[], None]


def build_application(
    service: PredictionService, folder: Path, examples: Sequence[Input], hosts: Collection[str], title: str
) -> Application:
    """Return the application.

    Args:
        service: Predictions on uploads.
        folder: Folder of gradio, from `prepared_gradio`.
        examples: Images or videos that the page offers.
        hosts: Names of this server in addition to "localhost" and that of this machine.
        title: Heading of the page.
    """
    guard = Middleware(Guard, hosts=hosts, max_bytes=service.limits.max_bytes)
    handler = Starlette(routes=[prediction_route(service)], middleware=[guard])
    blocks = Page(service, folder, examples, title).blocks
    # Only a launched page checks that the files which a client names are its uploads; mounting does not launch it.
    blocks.has_launched = True
    fonts = ("system-ui", "sans-serif")
    gr.mount_gradio_app(
        handler,
        blocks,
        path="/",
        theme=gr.themes.Default(font=fonts, font_mono=("ui-monospace", "monospace")),
        max_file_size=service.limits.max_bytes,
        show_error=False,  # messages of bugs; those for users are part of the page
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
    )

    def close() -> None:
        service.close()
        blocks.close(verbose=False)

    return Application(handler, close)
