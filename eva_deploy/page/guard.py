"""What is checked in every request before anything reads it: host, site it comes from, path and size."""

import ipaddress
import json
import re
import socket
from collections.abc import Collection
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eva_backbone.errors import InputError

from .endpoint import PATH
from .limits import RefusedError
from .uploads import too_large

# The parts of gradio that the page uses. Gradio has more, such as a proxy and routes that edit an app.
_UPLOAD = "/gradio_api/upload"
_GRADIO_PATHS = re.compile(
    r"/(|config|theme\.css|favicon\.ico|manifest\.json|robots\.txt|pwa_icon|(assets|static|svelte)/.*"
    r"|gradio_api/(info|app_id|startup-events|upload|upload_progress|reset|cancel|queue/(join|data|status)"
    r"|heartbeat/.*|file=.*))"
)
_MAX_FORM_BYTES = 100_000  # what surrounds the file in an upload of the page
_MAX_JSON_BYTES = 1_000_000
# The browser loads nothing from other servers, and other pages cannot show this one in a frame.
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)


class Guard:
    """Refuse requests that a browser sends on behalf of another site, and those that are too large.

    A page of another site can make a browser send requests to this server, also if it is reachable only from this
    machine. Such a request names that site as its origin; or, if the site has changed the address of its own name to
    that of this machine (DNS rebinding), as its host.

    Args:
        app: The application.
        hosts: Names of this server in addition to its addresses, "localhost" and the name of this machine.
        max_bytes: Largest size of an upload.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], max_bytes: int) -> None:
        self._app = app
        self._hosts = {"localhost", socket.gethostname().lower(), *(host.lower() for host in hosts)}
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # a web socket, which the page does not use
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = _POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        try:
            self._check_source(Headers(scope=scope))
            body = await self._read_body(scope, receive)
        except InputError as error:
            status = error.status if isinstance(error, RefusedError) else HTTPStatus.BAD_REQUEST
            await JSONResponse({"error": str(error)}, status)(scope, receive, send_with_headers)
            return
        await self._app(scope, body, send_with_headers)

    def _check_source(self, headers: Headers) -> None:
        host, origin = headers.get("host", ""), headers.get("origin")
        name = urlsplit(f"//{host}").hostname or ""
        if name not in self._hosts and not _is_address(name):
            raise RefusedError(
                "the name of this server is not known; the option --allow-host adds one.", HTTPStatus.FORBIDDEN
            )
        is_foreign = origin is not None and urlsplit(origin).netloc != host
        # Without an origin: images, scripts and frames of other sites, but not links to the page.
        is_embedded = headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate"
        if is_foreign or is_embedded:
            raise RefusedError("requests of other sites are refused.", HTTPStatus.FORBIDDEN)

    async def _read_body(self, scope: Scope, receive: Receive) -> Receive:
        """Check the path and the body of a request, and return the function that the application reads it with."""
        path, headers = scope["path"], Headers(scope=scope)
        if path != PATH and not _GRADIO_PATHS.fullmatch(path):
            raise RefusedError("there is no such page.", HTTPStatus.NOT_FOUND)
        if "transfer-encoding" in headers:  # with a length, the server itself reads no more than that
            raise RefusedError("the length of the body is not known; send it.", HTTPStatus.LENGTH_REQUIRED)
        length = int(headers.get("content-length", "0"))
        if path in (PATH, _UPLOAD):
            if length > self._max_bytes + (_MAX_FORM_BYTES if path == _UPLOAD else 0):
                raise too_large(self._max_bytes)
            return receive
        if length > _MAX_JSON_BYTES:
            raise too_large(_MAX_JSON_BYTES)
        messages = [await receive()]
        while messages[-1].get("more_body"):
            messages.append(await receive())
        _check_files(b"".join(message.get("body", b"") for message in messages))

        async def replay() -> Message:
            return messages.pop(0) if messages else await receive()

        return replay


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_files(body: bytes) -> None:
    """Check that a message of the page names no file by its web address, which gradio would download."""
    try:
        waiting: list[Any] = [json.loads(body)] if body else []
    except (ValueError, RecursionError) as error:
        raise RefusedError("the body is not JSON.") from error
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            path = value.get("path")
            if isinstance(path, str) and not path.startswith("/"):
                raise RefusedError("files are sent, not named by an address.")
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
