"""Serve the page and the endpoint of a model until Ctrl-C."""

import socket

import uvicorn

from .application import Application

_SHUTDOWN_SECONDS = 2  # for connections that are open after Ctrl-C


class Server(uvicorn.Server):
    """A server at whose end no request waits for the model, which may take minutes.

    Args:
        application: The application from `build_application`.
    """

    def __init__(self, application: Application) -> None:
        config = uvicorn.Config(
            application.handler,
            log_level="error",
            server_header=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            ws="none",
        )
        super().__init__(config)
        self._application = application

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse what waits, then close the connections."""
        self._application.close()
        await super().shutdown(sockets)


def serve(application: Application, listening: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM, which are raised again afterwards.

    Args:
        application: The application from `build_application`.
        listening: Socket from `open_port`.
    """
    Server(application).run(sockets=[listening])
