"""A real HTTP server on 127.0.0.1 that can behave as badly as servers and networks do."""

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from processes import HANG_S


@dataclass
class Answer:
    """How one request is answered; by default as a good server does."""

    status: int = 200
    body: bytes | None = None  # None: the file of that path
    etag: str | None = '"v1"'
    ranges: bool = True
    if_range: bool = True  # False: answers ranges without looking whether the file is the same
    drop_after: int | None = None  # bytes of the body, then the connection ends
    hang_after: int | None = None  # bytes of the body, then nothing until `released`
    length_lie: int = 0  # added to Content-Length
    chunked: bool = False
    location: str = ""


class FileServer:
    """Serves `files`; the answers in `script` are used up first, then `usual`.

    Attributes:
        files: {path: content}.
        requests: (path, Range, If-Range) of every request so far.
        reached: set when an answer hangs; `released` lets it go on.
    """

    def __init__(self):
        self.files, self.script, self.requests = {}, [], []
        self.usual = Answer()
        self.reached, self.released = threading.Event(), threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.answer(self)

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # a client that was killed

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self):
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, handler):
        wanted, condition = handler.headers.get("Range"), handler.headers.get("If-Range")
        self.requests.append((handler.path, wanted, condition))
        how = self.script.pop(0) if self.script else self.usual
        handler.close_connection = True
        body = self.files.get(handler.path) if how.body is None else how.body
        status = 404 if body is None and how.status == 200 else how.status
        if status != 200:
            handler.send_response(status)
            if how.location:
                handler.send_header("Location", how.location)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        total, start = len(body), 0
        may = not how.if_range or condition is None or condition == how.etag
        if wanted and how.ranges and may:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= total:
                handler.send_response(416)
                handler.send_header("Content-Range", f"bytes */{total}")
                handler.send_header("Content-Length", "0")
                handler.end_headers()
                return
            status, body = 206, body[start:]
        handler.send_response(status)
        if status == 206:
            handler.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if how.etag:
            handler.send_header("ETag", how.etag)
        if how.chunked:
            handler.send_header("Transfer-Encoding", "chunked")
        else:
            handler.send_header("Content-Length", str(len(body) + how.length_lie))
        handler.end_headers()
        self._send(handler, how, body)

    def _send(self, handler, how, body):
        part = how.drop_after if how.drop_after is not None else how.hang_after
        sent = body if part is None else body[:part]
        if how.chunked:
            handler.wfile.write(f"{len(sent):x}\r\n".encode() + sent + b"\r\n")
            handler.wfile.write(b"" if how.drop_after is not None else b"0\r\n\r\n")
        else:
            handler.wfile.write(sent)
        if how.hang_after is not None:
            handler.wfile.flush()
            self.reached.set()
            self.released.wait(HANG_S)
            handler.wfile.write(body[part:])
