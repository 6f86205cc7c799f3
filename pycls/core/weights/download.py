"""Downloads files once into a cache, resumed where cut off, never used unchecked.

The partial file is also the lock: whoever holds it downloads, others wait. No other lock file
is left about.
"""

import fcntl
import hashlib
import io
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

from pycls.core.weights.transfer import DownloadProgress, Transfer
from pycls.errors import ConfigError, DownloadError
from pycls.files import PARTIAL_SUFFIX, cache_folder, write_text

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_RECORD_SUFFIX = ".sha256"


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's content, 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cached_file(
    url: str,
    cache_dir: str | os.PathLike[str] = "",
    *,
    sha256: str | None = None,
    check: Callable[[Path], object] | None = None,
    progress: bool = True,
    timeout_s: float = 30.0,
    attempts: int = 5,
    wait_s: float = 1.0,
) -> Path:
    """Return the local file of a URL, downloading it if it is not in the cache yet.

    The SHA-256 found after the download is recorded beside the file and compared at every later
    call; a file damaged since is downloaded again, with a warning. Of several processes that
    want a file, one downloads it and the others wait.

    Args:
        url: http or https; its fragment may give the digest: `#sha256=<64 hex digits>`.
        cache_dir: see :func:`cache_folder`.
        sha256: the digest that the file must have.
        check: called with the complete file before it enters the cache; what it raises goes on,
            and the file is dropped.
        progress: show on stderr how far the download is.
        timeout_s: how long to wait for the server's next byte, in seconds.
        attempts: how often in a row to get no further before giving up.
        wait_s: pause before the second attempt, in seconds; doubled for each further one.

    Raises:
        ConfigError: the URL or the digest is not one.
        DownloadError: the file could not be fetched whole, or is not the one of the digest.
            Nothing of it is left in the cache.
        OSError: the cache folder cannot be written.
    """
    address, digest = _split_url(url, sha256)
    root = cache_folder(cache_dir)
    target = root / _relative_path(address)
    if _state_of(target, digest, check) == "good":
        return target
    show = DownloadProgress(target.name if progress else None)
    with _partial_file(target, root, show) as file:
        _remove_temporaries(target)
        # It may have been downloaded while this process waited for the lock.
        state = _state_of(target, digest, check)
        if state == "good":
            _partial_of(target).unlink()
            return target
        if state == "damaged":
            warnings.warn(
                f"{target}: damaged since it was downloaded (its SHA-256 is no longer the "
                "recorded one); downloading it again",
                stacklevel=2,
            )
            target.unlink()
        transfer = Transfer(address, file, _validator_of(target), timeout_s, show)
        try:
            transfer.run(attempts, wait_s)
        except DownloadError as error:
            raise DownloadError(f"{error}, or download it by hand to {target}") from None
        os.fsync(file.fileno())
        found = sha256_of(_partial_of(target))
        if digest not in (None, found):
            raise DownloadError(
                f"{address}: what was downloaded has the SHA-256 {found}, expected {digest}; it "
                "was dropped. Check the digest, or try again"
            )
        if check is not None:
            check(_partial_of(target))
        # In this order: a file in the cache without a record was put there by hand.
        write_text(_record_of(target), found + "\n")
        _validator_of(target).unlink(missing_ok=True)
        show.done(transfer.received)
        _partial_of(target).replace(target)
    return target


def _split_url(url: str, sha256: str | None) -> tuple[str, str | None]:
    """Return the address to ask for and the digest in lower case, or refuse them."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or "@" in parts.netloc:
        raise ConfigError(
            f"{url!r}: not an address to download from; expected http://... or https://... "
            "with a host name, without user name or password"
        )
    digests = [] if sha256 is None else [sha256]
    if parts.fragment:
        digests.append(parts.fragment.removeprefix("sha256="))
    for digest in digests:
        if not _DIGEST.fullmatch(digest):
            raise ConfigError(f"{url}: {digest!r} is not a SHA-256; expected 64 hexadecimal digits")
    if len({digest.lower() for digest in digests}) > 1:
        raise ConfigError(f"{url}: its digest and the one given beside it differ; keep one")
    # What may not stand in a request (spaces, control characters, other alphabets) is encoded.
    address = quote(parts._replace(fragment="").geturl(), safe="%/:?=&!$'()*+,;~@[]")
    return address, digests[0].lower() if digests else None


def _relative_path(address: str) -> Path:
    """Return the path in the cache of a URL: scheme, host, then the URL's own path.

    Different URLs have different paths, none of them the folder, record or partial file of
    another: the names of folders have no dot and those of files always have one or a `%` at
    the end, which the encoding of a character never leaves there.
    """
    parts = urlsplit(address)
    host = quote(parts.netloc.lower(), safe="")
    host = host.replace(".", "%2E") if not host.strip(".") else host
    *folders, name = parts.path.removeprefix("/").split("/")
    encoded = [quote(folder, safe="").replace(".", "%2E") or "%%" for folder in folders]
    if parts.query:
        name += f"?{parts.query}"
    file = quote(name, safe="")
    file = file.replace(_RECORD_SUFFIX, _RECORD_SUFFIX.replace(".", "%2E"))
    if file.endswith(PARTIAL_SUFFIX):
        file = file.removesuffix(PARTIAL_SUFFIX) + PARTIAL_SUFFIX.replace(".", "%2E")
    if "." not in file.strip("."):
        file = file.replace(".", "%2E") + "%"
    return Path(parts.scheme, host, *map(_shortened, encoded), _shortened(file))


def _shortened(name: str) -> str:
    """Return a name that file systems take (255 bytes), with a hash for what is cut out."""
    if len(name) <= 200:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()
    return f"{name[:60]}%{digest}%{name[-40:]}"


def _partial_of(target: Path) -> Path:
    return target.with_name(f".{target.name}{PARTIAL_SUFFIX}")


def _validator_of(target: Path) -> Path:
    # No URL's file is called so: the encoding leaves no "%v".
    return target.with_name(f".{target.name}.%validator{PARTIAL_SUFFIX}")


def _record_of(target: Path) -> Path:
    return target.with_name(target.name + _RECORD_SUFFIX)


def _remove_temporaries(target: Path) -> None:
    """Remove what a process killed while it wrote a record or validator has left."""
    for path in (_record_of(target), _validator_of(target)):
        # The encoding of names leaves no character that a pattern gives a meaning.
        for temporary in target.parent.glob(f".{path.name}.*{PARTIAL_SUFFIX}"):
            temporary.unlink(missing_ok=True)


def _state_of(target: Path, digest: str | None, check: Callable[[Path], object] | None) -> str:
    """Say what is in the cache: a "good" file, a "damaged" one, an "other" one or "none"."""
    if not target.is_file():
        return "none"
    found = sha256_of(target)
    try:
        recorded = _record_of(target).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        # Downloaded by hand, as our messages propose: it passes what a download has to.
        if digest not in (None, found):
            raise DownloadError(
                f"{target}: has the SHA-256 {found}, expected {digest}; replace or delete it"
            ) from None
        if check is not None:
            check(target)
        with suppress(OSError):  # another user's cache, which is read-only to us
            write_text(_record_of(target), found + "\n")
        return "good"
    except UnicodeDecodeError:
        return "damaged"
    if found != recorded:
        return "damaged"
    return "good" if digest in (None, found) else "other"


@contextmanager
def _partial_file(target: Path, root: Path, show: DownloadProgress) -> Iterator[io.FileIO]:
    """Open the partial file of `target` as its only user; after an error, leave nothing.

    An interrupt is no error (no subclass of Exception): the next call goes on from there.
    """
    made = [folder for folder in target.parents if not folder.exists()]
    below_root = [folder for folder in target.parents if root in folder.parents]
    try:
        with _open_locked(_partial_of(target), show) as file:
            try:
                yield file
            except Exception:
                _partial_of(target).unlink(missing_ok=True)
                _validator_of(target).unlink(missing_ok=True)
                if not target.exists():
                    _record_of(target).unlink(missing_ok=True)
                raise
    except Exception:
        for folder in sorted({*made, *below_root}, key=lambda path: -len(path.parts)):
            with suppress(OSError):  # not empty
                folder.rmdir()
        raise


def _open_locked(partial: Path, show: DownloadProgress) -> io.FileIO:
    while True:
        partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            continue  # another process has just removed the empty folder
        file = io.FileIO(descriptor, "r+")
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                show.line("waiting for another process that downloads it")
                fcntl.flock(file, fcntl.LOCK_EX)
            # The other one may have moved it into place, or removed it.
            if partial.exists() and os.path.samestat(os.fstat(descriptor), partial.stat()):
                return file
        except BaseException:
            file.close()
            raise
        file.close()
