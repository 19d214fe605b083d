"""A small server on the loopback interface with the addresses and headers of the Hugging Face Hub."""

import hashlib
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import sleep

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """The content of the server, and what it was asked for.

    Attributes:
        files: Contents by "OWNER/NAME/PATH".
        stated_sha256: SHA-256 that the server states instead of the true one.
        stated_size: Size that the server states instead of the true one.
        bytes_until_cut: Number of bytes after which every transfer is cut; None cuts none.
        seconds_until_answer: Time before every transfer.
        requests: "HEAD", "GET" or "GET bytes=N-" of each request for a file.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    stated_sha256: str = ""
    stated_size: int = 0
    bytes_until_cut: int | None = None
    seconds_until_answer: float = 0
    requests: list[str] = field(default_factory=list)
    address: str = ""

    def start(self) -> ThreadingHTTPServer:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._log("HEAD")
                self._send_headers()

            def do_GET(self) -> None:
                wanted = self.headers.get("Range", "")
                self._log(f"GET {wanted}".strip())
                start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
                sleep(hub.seconds_until_answer)
                content = self._send_headers(start)
                if hub.bytes_until_cut is not None and content[start + hub.bytes_until_cut :]:
                    self.wfile.write(content[start : start + hub.bytes_until_cut])
                    self.close_connection = True
                    return
                self.wfile.write(content[start:])

            def _log(self, request: str) -> None:
                if "/resolve/" in self.path:
                    hub.requests.append(request)

            def _send_headers(self, start: int = 0) -> bytes:
                match = re.fullmatch(r"/(.+)/resolve/main/(.+)", self.path)
                content = hub.files.get(f"{match[1]}/{match[2]}") if match else None
                if content is None:
                    self.send_response(404)
                    self.send_header("X-Error-Code", "EntryNotFound")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return b""
                sha256 = hub.stated_sha256 or hashlib.sha256(content).hexdigest()
                size = hub.stated_size or len(content)
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
                self.send_header("Content-Length", str(size - start))
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("X-Linked-Etag", f'"{sha256}"')
                self.send_header("X-Linked-Size", str(size))
                self.send_header("ETag", f'"{sha256}"')
                self.end_headers()
                return content

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return server
