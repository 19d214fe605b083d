"""A small server on the loopback interface that answers well, slowly, wrongly and without an end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread


@dataclass
class Answer:
    """What the server sends for a path.

    Attributes:
        parts: Function that returns the parts of the body; it may go on for ever.
        length: Value of Content-Length; None sends none.
        status: Status code.
        headers: Further headers.
    """

    parts: Callable[[], Iterator[bytes]] = lambda: iter([])
    length: int | None = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def body(content: bytes, **options: object) -> Answer:
    return Answer(lambda: iter([content]), **({"length": len(content)} | options))


def redirect(target: str) -> Answer:
    return Answer(status=302, headers={"Location": target})


@dataclass
class Files:
    """The content of the server, and what it was asked for.

    Attributes:
        answers: Answer by path; other paths do not exist.
        requests: Headers of each request, by path.
        closing: Set when the server ends; a slow answer waits for it between its parts.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    closing: Event = field(default_factory=Event)
    address: str = ""


@contextmanager
def served_files() -> Iterator[Files]:
    files = Files()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            files.requests.append((self.path, dict(self.headers)))
            answer = files.answers.get(path, Answer(status=404))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.length is not None:
                self.send_header("Content-Length", str(answer.length))
            self.end_headers()
            try:
                for part in answer.parts():
                    self.wfile.write(part)
                    if files.closing.is_set():
                        break
            except OSError:  # the client has gone
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    files.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield files
    finally:
        files.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
