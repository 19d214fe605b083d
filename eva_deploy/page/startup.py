"""What is needed before the page of a model can be served: a port, and gradio without its messages to others."""

import errno
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eva_backbone.errors import InputError

_PRIVATE = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_RUN_HISTORY": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def open_port(host: str, port: int) -> socket.socket:
    """Reserve a port; 0 takes any free one.

    Raises:
        InputError: The address is not one of this machine, or the port is in use or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    # After a restart, the last connections of the previous server may still occupy the port for a minute.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise InputError(f"port {port} of {host} is in use; give another --port, or 0 for a free one.") from error
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"port {port} of {host} cannot be used ({reason}); give another --port or --host.") from error
    return listening


@contextmanager
def prepared_gradio() -> Iterator[Path]:
    """Import gradio so that it sends nothing to others, and yield the folder of its files, which is removed after.

    Raises:
        InputError: gradio is not installed.
    """
    os.environ.update(_PRIVATE)
    with tempfile.TemporaryDirectory(prefix="eva-vision-page-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            import gradio  # noqa: F401
            import uvicorn  # noqa: F401
        except ModuleNotFoundError as error:
            raise InputError(
                f"serve needs the package {error.name}, which is not installed: run pip install '.[page]' in the "
                "folder of EVA Vision."
            ) from error
        yield Path(folder)


def shown_url(listening: socket.socket) -> str:
    """Return the address for a browser on this machine."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
