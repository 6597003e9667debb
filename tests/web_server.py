"""A web server of the tests' own, as the ones that media come from."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

IMAGE = b"an image" * 1000


@contextmanager
def serving(
    port: int = 0, *, address: str = "127.0.0.1", redirects: Mapping[str, str] | None = None, short: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """(its port, the paths that were asked for). `/image` is IMAGE; `redirects` lead elsewhere; `/endless` does not say
    how long it is; `short`: it ends in the middle."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if redirects and self.path in redirects:
                self.send_response(302)
                self.send_header("Location", redirects[self.path])
                self.end_headers()
                return
            self.send_response(200 if self.path in ("/image", "/endless") else 404)
            if self.path != "/endless":
                self.send_header("Content-Length", str(len(IMAGE)))
            self.end_headers()
            self.wfile.write(IMAGE[: len(IMAGE) // 2] if short else IMAGE)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer((address, port), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
