"""Read from an HTTP address that a user named, with limits on time, and redirects to other HTTP addresses only."""

import base64
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable
from email.message import Message
from typing import IO, Any, Self
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from eva_backbone.errors import InputError

from .addresses import shown_address

# Without any data for this long, the server is taken to have stopped.
STALL_SECONDS = 30.0
_MAX_REDIRECTS = 5


class HttpReader:
    """Send a GET request and read the answer as a file that cannot be sought in.

    Args:
        address: The address; http or https. A user name and password in it are sent to its own host only.
        seconds: Seconds from the start until everything must have been read, unless `remove_deadline` is called.

    Attributes:
        name: The address without user name and password, for messages.
        length: Number of bytes that the server states, or None.
        content_type: Type that the server states, such as "image/jpeg".

    Raises:
        InputError: There is no answer, the answer is an error, or a redirect leads elsewhere than to http or https.
    """

    def __init__(self, address: str, seconds: float) -> None:
        self.name = shown_address(address)
        self._seconds, self._end = seconds, time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        # Timeouts of sockets restart with every byte, so a server that sends one byte after another needs more.
        self._timer = threading.Timer(seconds, self.stop)
        self._timer.daemon = True
        self._timer.start()
        try:
            self._response = self._open(address)
        except BaseException:
            self._timer.cancel()
            raise
        self.length = self._response.length
        self.content_type = self._response.headers.get_content_type()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._response.close()

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes as soon as there are some; b"" at the end.

        Raises:
            InputError: The connection broke, nothing came for `STALL_SECONDS`, or the time is over.
        """
        try:
            content = self._response.read1(size)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._failure(error) from error
        if not content:
            self._check_time()  # the timer ends the connection without an error
        return content

    def remove_deadline(self) -> None:
        """Read from now on for as long as the server sends, for streams."""
        self._timer.cancel()
        self._end = float("inf")

    def stop(self) -> None:
        """End the connection; a read that waits in another thread returns at once."""
        for connection in self._sockets:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # it has ended
                continue

    def _open(self, address: str) -> http.client.HTTPResponse:
        parts = urlsplit(address)
        user, has_user, host = parts.netloc.rpartition("@")
        try:
            request = Request(urlunsplit(parts._replace(netloc=host, fragment="")))
            request.add_header("User-Agent", "eva-vision")
            request.add_header("Accept-Encoding", "identity")
            if has_user:
                token = base64.b64encode(unquote(user).encode()).decode()
                request.add_unredirected_header("Authorization", f"Basic {token}")
            return _opener(self.name, self._sockets).open(request, timeout=min(STALL_SECONDS, self._seconds))
        except HTTPError as error:
            error.close()
            answer = f"answered {error.code} {http.client.responses.get(error.code, '')}".rstrip()
            if error.code < 400:
                answer = "redirects too often"
            raise InputError(f"{self.name}: the server {answer}; check the address.") from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise self._failure(error) from error

    def _check_time(self) -> None:
        if time.monotonic() >= self._end:
            raise InputError(
                f"{self.name}: not complete after {self._seconds:g} s, the limit; download it and give the file."
            )

    def _failure(self, error: Exception) -> InputError:
        self._check_time()
        reason: object = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, TimeoutError):
            return InputError(f"{self.name}: no data for {STALL_SECONDS:g} s; check the address and the network.")
        text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        return InputError(f"{self.name}: the connection failed ({text}); check the address and the network.")


def content_kind(address: str, seconds: float = 60.0) -> str:
    """Return "image" or "video" for an address whose suffix does not show it, from the type that the server states.

    Raises:
        InputError: There is no answer, or it is something else.
    """
    with HttpReader(address, seconds) as reader:
        main_type = reader.content_type.partition("/")[0]
        if main_type == "image":
            return "image"
        if main_type == "video" or reader.content_type == "multipart/x-mixed-replace":
            return "video"
        raise InputError(
            f"{reader.name}: the server sends {reader.content_type}; give the address of an image, a video or a stream."
        )


def _opener(name: str, sockets: list[socket.socket]) -> OpenerDirector:
    """Return what opens http and https addresses, and no others, and adds the sockets of its connections to a list."""
    opener = OpenerDirector()
    opener.add_handler(ProxyHandler())  # of the environment variables
    opener.add_handler(_RecordedHttp(sockets))
    opener.add_handler(_RecordedHttps(sockets))
    opener.add_handler(_HttpRedirects(name))
    opener.add_handler(HTTPErrorProcessor())
    opener.add_handler(HTTPDefaultErrorHandler())
    return opener


def _recorded(connection_class: type[Any], sockets: list[socket.socket]) -> Callable[..., Any]:
    class Recorded(connection_class):
        def connect(self) -> None:
            super().connect()
            sockets.append(self.sock)

    return Recorded


class _RecordedHttp(HTTPHandler):
    def __init__(self, sockets: list[socket.socket]) -> None:
        super().__init__()
        self._sockets = sockets

    def http_open(self, request: Request) -> http.client.HTTPResponse:
        return self.do_open(_recorded(http.client.HTTPConnection, self._sockets), request)


class _RecordedHttps(HTTPSHandler):
    def __init__(self, sockets: list[socket.socket]) -> None:
        super().__init__()
        self._sockets = sockets

    def https_open(self, request: Request) -> http.client.HTTPResponse:
        connection_class = _recorded(http.client.HTTPSConnection, self._sockets)
        return self.do_open(connection_class, request, context=ssl.create_default_context())


class _HttpRedirects(HTTPRedirectHandler):
    """Follow redirects to http and https addresses, but not from https to http."""

    max_redirections = _MAX_REDIRECTS

    def __init__(self, name: str) -> None:
        self._name = name

    def http_error_302(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Message
    ) -> http.client.HTTPResponse | None:
        """Follow one redirect."""
        target = urljoin(req.full_url, headers.get("Location", ""))
        scheme = urlsplit(target).scheme.lower()
        if scheme != "https" and not (scheme == "http" and req.type == "http"):
            fp.close()
            raise InputError(
                f"{self._name}: the server redirects to {shown_address(target)}, which is not followed; give the "
                f"https address of the file itself."
            )
        fp.close()  # urllib would read the rest of the answer, which may have no end, into memory
        return super().http_error_302(req, fp, code, msg, headers)  # type: ignore[arg-type]

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302
