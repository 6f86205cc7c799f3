"""Fetches one file over HTTP, in as many attempts as it takes, each from where one ended.

What a partial file is a part of (ETag or date) stands in a small file beside it, so that it is
only resumed if the server confirms that it still has the same file.
"""

import http.client
import io
import json
import os
import re
import socket
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from pycls import __version__
from pycls.errors import DownloadError
from pycls.files import write_json
from pycls.progress import Progress

_CHUNK = 1 << 18
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")
# Answers after which the same question may be answered better a little later.
_PASSING_CODES = {408, 429, 500, 502, 503, 504}


class _DroppedError(Exception):
    """A transfer that ended early, and that another attempt may complete."""


class DownloadProgress(Progress):
    """What standard error shows of a download; nothing where the name is None."""

    def __init__(self, name: str | None) -> None:
        super().__init__(None if name is None else sys.stderr, every_s=30.0)
        self._name = name
        self._started_s = -1.0
        self._first = 0

    def line(self, text: str) -> None:
        """Write a line about the file."""
        self.say(f"{self._name}: {text}")

    def update(self, received: int, total: int | None) -> None:
        """Show how far it is, now and then. Both are counts of bytes."""
        if self._started_s < 0:
            self._started_s, self._first = time.monotonic(), received
        if self.is_due():
            of = f" of {total / 1e6:.1f} MB, {100 * received / total:.0f} %" if total else " MB"
            rate = self._rate(received)
            self.show(f"{self._name}: downloading, {received / 1e6:.1f}{of}{rate}")

    def done(self, received: int) -> None:
        """Say that the file is complete."""
        self.line(f"downloaded, {received / 1e6:.1f} MB{self._rate(received)}")

    def _rate(self, received: int) -> str:
        elapsed_s = time.monotonic() - self._started_s
        if self._started_s < 0 or elapsed_s < 0.1:
            return ""
        return f", {(received - self._first) / 1e6 / elapsed_s:.1f} MB/s"


class _HttpOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirections to http and https, not to ftp."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request to make instead, or refuse it."""
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise urllib.error.URLError(f"redirected to {newurl}, which is not http or https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Transfer:
    """The attempts at one file.

    Attributes:
        received: bytes of it that are there.
    """

    def __init__(
        self,
        url: str,
        file: io.FileIO,
        validator_path: Path,
        timeout_s: float,
        show: DownloadProgress,
    ) -> None:
        """Prepare to complete a file.

        Args:
            url: http or https.
            file: the partial file, open for reading and writing; may be empty.
            validator_path: where it is noted what the partial file is a part of.
            timeout_s: how long to wait for the server's next byte, in seconds.
            show: shows how far it is.
        """
        self._url, self._file, self._validator_path = url, file, validator_path
        self._timeout_s, self._show = timeout_s, show
        self._opener = urllib.request.build_opener(_HttpOnly)
        self.received = file.seek(0, os.SEEK_END)
        self._total: int | None = None
        self._validator: str | None = None
        self._answered = False
        with suppress(FileNotFoundError, ValueError, KeyError, TypeError):
            saved = json.loads(validator_path.read_bytes())
            self._total = None if saved["total"] is None else int(saved["total"])
            self._validator = str(saved["validator"])

    def run(self, attempts: int, wait_s: float) -> None:
        """Fetch the file whole.

        Args:
            attempts: how often in a row to get no further before giving up.
            wait_s: pause before the second attempt, in seconds; doubled for each further one.

        Raises:
            DownloadError: it cannot be had.
            OSError: it cannot be written.
        """
        furthest, failures = self.received, 0
        while True:
            try:
                return self._attempt()
            except _DroppedError as error:
                failures = 1 if self.received > furthest else failures + 1
                furthest = max(furthest, self.received)
                if failures >= attempts:
                    self._refuse(f"{error} ({failures} attempts without progress)")
            finally:
                self._show.clear()
            time.sleep(wait_s * min(2 ** (failures - 1), 16))

    def _attempt(self) -> None:
        with self._ask() as response:
            while chunk := self._read(response):
                self._append(chunk)
                self._show.update(self.received, self._total)
        if self._total is not None and self.received < self._total:
            raise _DroppedError("the connection ended early")

    def _ask(self) -> Any:
        """Send the request; return the answer, with the file ready to take its body."""
        headers = {"User-Agent": f"pycls-studies/{__version__}", "Accept-Encoding": "identity"}
        offset = 0
        if self._validator is not None and self.received:
            # A file that is complete already: ask for its last byte, to have it confirmed.
            offset = min(self.received, (self._total or sys.maxsize) - 1)
            headers |= {"Range": f"bytes={offset}-", "If-Range": self._validator}
        request = urllib.request.Request(self._url, headers=headers)  # noqa: S310 (http only)
        try:
            response = self._opener.open(request, timeout=self._timeout_s)
        except urllib.error.HTTPError as error:
            error.close()
            self._handle_status(error)
        except urllib.error.URLError as error:
            # No connection. Worth another attempt only where there was one before.
            if self._answered:
                raise _DroppedError(_describe(error.reason)) from None
            self._refuse(_describe(error.reason))
        except (ValueError, http.client.InvalidURL) as error:
            self._refuse(f"not an address to ask for ({error})")
        except (OSError, http.client.HTTPException) as error:
            raise _DroppedError(_describe(error)) from None
        self._answered = True
        try:
            self._prepare(response, offset)
        except BaseException:
            response.close()
            raise
        return response

    def _handle_status(self, error: urllib.error.HTTPError) -> NoReturn:
        reason = f"the server answered {error.code} {error.reason}"
        if error.code == 416:  # our part goes beyond the end: it is of another file
            self._start_over()
            raise _DroppedError(reason)
        if error.code in _PASSING_CODES:
            raise _DroppedError(reason)
        self._refuse(reason)

    def _prepare(self, response: Any, offset: int) -> None:
        """Make the file ready: cut to where the answer goes on, or emptied."""
        validator = _validator(response.headers)
        if response.status == 206 and offset:
            answer = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
            same = validator in (None, self._validator)
            if not answer or int(answer[1]) != offset or not same:
                self._start_over()
                raise _DroppedError("the server sent another part than the one asked for")
            self._total = int(answer[2])
            self._cut(offset)
            return
        if response.status != 200:
            self._refuse(f"the server answered {response.status} {response.reason}")
        self._start_over()
        length = response.headers.get("Content-Length", "")
        self._total = int(length) if length.isdecimal() else None
        self._validator = validator
        if validator is not None:
            write_json(self._validator_path, {"validator": validator, "total": self._total})

    def _start_over(self) -> None:
        # Emptied first: at no moment is a part of one file noted as one of another.
        self._cut(0)
        self._validator_path.unlink(missing_ok=True)
        self._validator = self._total = None

    def _cut(self, length: int) -> None:
        self._file.truncate(length)
        self._file.seek(length)
        self.received = length

    def _read(self, response: Any) -> bytes:
        remaining = _CHUNK if self._total is None else self._total - self.received
        try:
            return response.read1(min(_CHUNK, remaining)) if remaining > 0 else b""
        except (OSError, http.client.HTTPException) as error:
            raise _DroppedError(_describe(error)) from None

    def _append(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError as error:
            error.filename = str(self._validator_path.parent)
            raise
        self.received += len(chunk)

    def _refuse(self, reason: str) -> NoReturn:
        amount = "nothing was received"
        if self.received:
            total = "an unknown number of" if self._total is None else self._total
            amount = f"{self.received} of {total} bytes were received"
        raise DownloadError(
            f"{self._url}: {reason}; {amount}. Check the address and the network and try again"
        )


def _validator(headers: Any) -> str | None:
    """Return what identifies the server's version of a file (RFC 9110, If-Range)."""
    etag = headers.get("ETag")
    # A weak tag promises the same meaning, not the same bytes.
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _describe(error: object) -> str:
    if isinstance(error, str):
        return error
    if isinstance(error, socket.gaierror):
        return f"the host was not found ({error.strerror}): no network, or a wrong host name"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    return f"the connection failed ({error or type(error).__name__})"
