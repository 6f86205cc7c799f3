"""Downloads: whole or not at all, once, and nothing left in the cache that is not whole."""

import hashlib
import io
import os
import random
import resource
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from file_server import Answer, FileServer
from hypothesis import example, given
from hypothesis import strategies as st
from processes import HANG_S, wait_until

from pycls.core.weights import download
from pycls.core.weights.download import cached_file
from pycls.errors import ConfigError, DownloadError, explain_os_error

CONTENT = random.Random(0).randbytes(1_000_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()

fetch = partial(cached_file, progress=False, wait_s=0.001, timeout_s=HANG_S)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    server = FileServer()
    server.files["/some/where/net.pyth"] = CONTENT
    yield server
    server.close()


@pytest.fixture
def url(server):
    return f"{server.url}/some/where/net.pyth"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "new" / "cache"


def everything_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def start_fetching(url, cache, **options):
    code = (
        "import sys; from pycls.core.weights.download import cached_file\n"
        "print(cached_file(sys.argv[1], sys.argv[2], timeout_s=float(sys.argv[3])))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, url, str(cache), str(HANG_S)],
        env={**os.environ, "no_proxy": "*"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def test_downloads_once_and_keeps_the_path_of_the_address(server, url, cache):
    path = fetch(url, cache)
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(cache)
    assert path.name == "net.pyth"
    assert path.parent.parts[-2:] == ("some", "where")
    assert path.with_name("net.pyth.sha256").read_text() == DIGEST + "\n"
    assert sorted(p.name for p in path.parent.iterdir()) == ["net.pyth", "net.pyth.sha256"]
    assert fetch(url, cache) == path
    assert len(server.requests) == 1


def test_the_cache_is_the_one_given_or_the_users(monkeypatch, tmp_path):
    for name in ("PYCLS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert download.cache_folder() == tmp_path / ".cache" / "pycls"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert download.cache_folder() == tmp_path / ".cache" / "pycls"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert download.cache_folder() == tmp_path / "x" / "pycls"
    monkeypatch.setenv("PYCLS_CACHE", "~/p")
    assert download.cache_folder() == tmp_path / "p"
    assert download.cache_folder("given") == Path("given")


@pytest.mark.parametrize(
    "behaviour", [Answer(chunked=True), Answer(etag=None), Answer(ranges=False)], ids=str
)
def test_plain_servers(server, url, cache, behaviour):
    server.usual = behaviour
    assert fetch(url, cache).read_bytes() == CONTENT


def test_a_dropped_connection_is_resumed_where_it_ended(server, url, cache):
    server.script = [Answer(drop_after=300_000), Answer(drop_after=300_000)]
    assert fetch(url, cache).read_bytes() == CONTENT
    assert [request[1:] for request in server.requests] == [
        (None, None), ("bytes=300000-", '"v1"'), ("bytes=600000-", '"v1"'),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "first",
    [
        Answer(drop_after=300_000, etag=None),
        Answer(drop_after=300_000, etag='W/"v1"'),
        Answer(drop_after=300_000, chunked=True, etag=None),
    ],
    ids=str,
)
def test_without_a_strong_validator_it_starts_over(server, url, cache, first):
    server.script = [first]
    assert fetch(url, cache).read_bytes() == CONTENT
    assert [request[1] for request in server.requests] == [None, None]


def test_a_server_without_ranges_starts_over(server, url, cache):
    server.usual = Answer(ranges=False)
    server.script = [Answer(ranges=False, drop_after=300_000)]
    assert fetch(url, cache).read_bytes() == CONTENT


@pytest.mark.parametrize("if_range", [True, False])
def test_a_file_that_changes_meanwhile_is_not_mixed(server, url, cache, if_range):
    server.script = [Answer(body=bytes(1_000_000), etag='"old"', drop_after=300_000)]
    server.usual = Answer(if_range=if_range)
    assert fetch(url, cache).read_bytes() == CONTENT


def test_a_file_that_became_shorter_is_fetched_anew(server, url, cache):
    server.script = [Answer(body=bytes(2_000_000), drop_after=1_500_000)]
    assert fetch(url, cache).read_bytes() == CONTENT


def test_many_drops_are_no_failure_while_it_gets_further(server, url, cache):
    server.usual = Answer(drop_after=50_000)
    assert fetch(url, cache, attempts=2).read_bytes() == CONTENT
    assert len(server.requests) == 20


@pytest.mark.parametrize(
    ("behaviour", "amount"),
    [
        (Answer(drop_after=300_000, ranges=False), "300000 of 1000000 bytes"),
        (Answer(drop_after=0), "nothing was received"),
        (Answer(length_lie=10, ranges=False), "1000000 of 1000010 bytes"),
        (Answer(length_lie=10), "bytes"),
        (Answer(drop_after=300_000, chunked=True, etag=None), "300000 of an unknown number"),
    ],
    ids=str,
)
def test_a_file_that_never_comes_whole_is_refused(server, url, cache, tmp_path, behaviour, amount):
    server.usual = behaviour
    with pytest.raises(DownloadError) as caught:
        fetch(url, cache, attempts=3)
    for part in (url, amount, "without progress", "try again", f"by hand to {cache}"):
        assert part in str(caught.value)
    assert everything_in(tmp_path) == []
    assert len(server.requests) < 12


def test_a_server_that_falls_silent_is_left(server, url, cache, tmp_path):
    server.usual = Answer(hang_after=300_000, ranges=False)
    with pytest.raises(DownloadError, match="did not answer in time"):
        fetch(url, cache, timeout_s=0.2, attempts=2)
    assert everything_in(tmp_path) == []


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (500, 2), (503, 2)])
def test_errors_of_the_server(server, url, cache, tmp_path, status, requests):
    server.usual = Answer(status=status)
    with pytest.raises(DownloadError, match=f"{url}: the server answered {status}"):
        fetch(url, cache, attempts=2)
    assert len(server.requests) == requests
    assert everything_in(tmp_path) == []


def test_a_passing_error_of_the_server_passes(server, url, cache):
    server.script = [Answer(status=503)]
    assert fetch(url, cache).read_bytes() == CONTENT


def test_nobody_listens(cache, tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with pytest.raises(DownloadError, match="connection was refused; nothing was received"):
        fetch(f"http://127.0.0.1:{port}/a.pyth", cache)
    assert everything_in(tmp_path) == []


def test_no_such_host(cache, tmp_path, monkeypatch):
    # A real question to a name server could take long, or be answered by an obliging one.
    def resolve(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(DownloadError, match=r"a\.invalid/b\.pyth: the host was not found"):
        fetch("http://a.invalid/b.pyth", cache)
    assert everything_in(tmp_path) == []


def test_redirections_lead_to_the_web_only(server, url, cache, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    server.script = [Answer(status=302, location=url)]
    assert fetch(f"{server.url}/moved.pyth", cache).read_bytes() == CONTENT
    for location in (secret.as_uri(), "ftp://127.0.0.1/a"):
        server.script = [Answer(status=302, location=location)]
        with pytest.raises(DownloadError, match=r"not allowed|not http or https"):
            fetch(f"{server.url}/elsewhere.pyth", cache, attempts=1)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/hostname", "ftp://127.0.0.1/a", "net.pyth", "", "http:///a", "http://h:x/a",
     "http://me:secret@127.0.0.1/a", "http://[::1/a", "http://h:99999/a"],
)  # fmt: skip
def test_what_is_no_web_address_is_refused(cache, tmp_path, url):
    with pytest.raises(ConfigError, match="http"):
        fetch(url, cache)
    assert everything_in(tmp_path) == []


def test_digest_as_argument_and_in_the_address(server, url, cache):
    assert fetch(f"{url}#sha256={DIGEST.upper()}", cache, sha256=DIGEST).read_bytes() == CONTENT
    for bad in (DIGEST[:-1], "x" * 64, ""):
        with pytest.raises(ConfigError, match="64 hexadecimal"):
            fetch(url, cache, sha256=bad)
    with pytest.raises(ConfigError, match="differ"):
        fetch(f"{url}#sha256={'0' * 64}", cache, sha256=DIGEST)
    assert len(server.requests) == 1


@pytest.mark.parametrize("where", ["argument", "address"])
def test_a_wrong_digest_is_refused(server, url, cache, tmp_path, where):
    wrong = "0" * 64
    url, digest = (url, wrong) if where == "argument" else (f"{url}#sha256={wrong}", None)
    with pytest.raises(DownloadError, match=f"SHA-256 {DIGEST}, expected {wrong}"):
        fetch(url, cache, sha256=digest)
    assert everything_in(tmp_path) == []


def test_another_digest_than_that_of_the_cached_file(server, url, cache):
    path = fetch(url, cache)
    with pytest.raises(DownloadError, match="expected 0000"):
        fetch(url, cache, sha256="0" * 64)
    assert fetch(url, cache) == path  # the good one is still there
    assert len(server.requests) == 2
    server.files["/some/where/net.pyth"] = b"a new version"
    digest = hashlib.sha256(b"a new version").hexdigest()
    assert fetch(url, cache, sha256=digest).read_bytes() == b"a new version"


@pytest.mark.parametrize("damaged", ["net.pyth", "net.pyth.sha256"])
def test_a_damaged_file_in_the_cache_is_never_used(server, url, cache, damaged):
    path = fetch(url, cache)
    with path.with_name(damaged).open("r+b") as file:
        file.seek(10)
        file.write(b"\xff\x00")
    with pytest.warns(UserWarning, match=r"net\.pyth: damaged since"):
        assert fetch(url, cache).read_bytes() == CONTENT
    assert fetch(url, cache).read_bytes() == CONTENT
    path.write_bytes(CONTENT[:-1])
    server.usual = Answer(status=404)
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(DownloadError):
        fetch(url, cache)
    assert not any(path.is_file() for path in cache.rglob("*"))


def test_a_file_put_there_by_hand_is_taken_after_the_same_checks(server, url, cache):
    path = fetch(url, cache)
    path.with_name("net.pyth.sha256").unlink()
    with pytest.raises(DownloadError, match="replace or delete it"):
        fetch(url, cache, sha256="0" * 64)
    with pytest.raises(ValueError, match="not wanted"):
        fetch(url, cache, check=not_wanted)
    assert fetch(url, cache, sha256=DIGEST) == path
    assert path.with_name("net.pyth.sha256").read_text() == DIGEST + "\n"
    assert len(server.requests) == 1


def not_wanted(path):
    assert path.read_bytes() == CONTENT
    raise ValueError("not wanted")


def test_what_the_check_refuses_does_not_enter_the_cache(server, url, cache, tmp_path):
    with pytest.raises(ValueError, match="not wanted"):
        fetch(url, cache, check=not_wanted)
    assert everything_in(tmp_path) == []


def test_addresses_that_are_alike_do_not_share_a_file(server, cache):
    server.usual = Answer()
    paths = ["/a", "/a/b", "/a/b.pyth", "/a/b.pyth.sha256", "/a/.b.pyth.partial", "/a/", "/a//",
             "/a//b", "/a/b.pyth?x=1", "/a/b.pyth?x=2", "/a/b.pyth%3Fx=1", "/../../../up", "/a/..",
             "/./a", "/%2e%2e/up", "/" + "long" * 100 + ".pyth", "/" + "long" * 100 + "2.pyth",
             "/a/b c", "/ä.pyth", ""]  # fmt: skip
    wanted = {}
    for i, path in enumerate(paths):
        server.script = [Answer(body=str(i).encode())]
        wanted[fetch(server.url + path, cache)] = str(i).encode()
    assert len(wanted) == len(paths)
    for path, body in wanted.items():
        assert path.read_bytes() == body
        assert cache.resolve() in path.resolve().parents


piece = st.text(st.sampled_from("a./%?&=:;@+ \\~*ä\n"), max_size=8)
endings = st.sampled_from(["", ".sha256", ".partial", ".pyth", "/", "."])
addresses = st.builds("http://h{}/{}{}".format, st.sampled_from(["", ":80", "."]), piece, endings)


def files_of(url):
    address, _ = download._split_url(url, None)
    target = Path("cache") / download._relative_path(address)
    record, validator = download._record_of(target), download._validator_of(target)
    temporary = [path.with_name(f".{path.name}.1.partial") for path in (record, validator)]
    return address, {target, download._partial_of(target), record, validator, *temporary}


@given(addresses, addresses)
@example("http://h/a", "http://h/a/b")
@example("http://h/a", "http://h/a.sha256.1")
@example("http://h/%", "http://h/%/b")
def test_no_file_of_one_address_is_in_the_way_of_another(one, two):
    (address, files), (other, other_files) = files_of(one), files_of(two)
    assert all(".." not in path.parts and path.parts[0] == "cache" for path in files)
    assert all(len(part.encode()) < 240 for path in files for part in path.parts)
    if address.removesuffix("?") == other.removesuffix("?"):
        return
    folders = {folder for path in other_files for folder in path.parents}
    # A missing path is the path "/".
    if address.rstrip("/") != other.rstrip("/"):
        assert not files & (other_files | folders)


def test_a_killed_download_goes_on_where_it_was(server, url, cache):
    server.script = [Answer(hang_after=600_000)]
    child = start_fetching(url, cache)
    assert server.reached.wait(HANG_S)
    partial_file = wait_for_partial_file(cache)
    child.kill()
    child.communicate()
    partial_file.with_name(".net.pyth.sha256.1.partial").write_text("killed a moment later")
    assert [p.name for p in cache.rglob("*.pyth")] == []
    assert fetch(url, cache).read_bytes() == CONTENT
    assert server.requests[-1][1:] == ("bytes=600000-", '"v1"')
    names = [p.name for p in cache.rglob("*") if p.is_file()]
    assert sorted(names) == ["net.pyth", "net.pyth.sha256"]


def test_ctrl_c_keeps_what_is_there_and_a_changed_file_starts_over(server, url, cache):
    server.script = [Answer(hang_after=600_000, body=bytes(1_000_000), etag='"old"')]
    child = start_fetching(url, cache)
    assert server.reached.wait(HANG_S)
    partial_file = wait_for_partial_file(cache)
    child.send_signal(signal.SIGINT)
    child.communicate()
    assert partial_file.stat().st_size == 600_000
    assert fetch(url, cache).read_bytes() == CONTENT
    assert server.requests[-1][1:] == ("bytes=600000-", '"old"')


def test_killed_when_complete_but_not_yet_in_place(server, url, cache):
    path = fetch(url, cache)
    path.rename(path.with_name(".net.pyth.partial"))
    note = '{"validator": "\\"v1\\"", "total": 1000000}'
    path.with_name(".net.pyth.%validator.partial").write_text(note)
    assert fetch(url, cache).read_bytes() == CONTENT
    assert server.requests[-1][1] == "bytes=999999-"


def test_a_partial_file_without_a_readable_note_is_not_trusted(server, url, cache):
    path = fetch(url, cache)
    for note in (None, "", "{}", "[1]", '{"validator": "\\"v1\\""}'):
        path.unlink(missing_ok=True)
        path.with_name(".net.pyth.partial").write_bytes(bytes(500_000))
        if note is not None:
            path.with_name(".net.pyth.%validator.partial").write_text(note)
        assert fetch(url, cache).read_bytes() == CONTENT
        assert server.requests[-1][1] is None


def wait_for_partial_file(cache):
    """Return the file of a download that hangs, once all has been written that was sent."""
    wait_until(lambda: any(p.stat().st_size == 600_000 for p in cache.rglob(".net.pyth.partial")))
    return next(cache.rglob(".net.pyth.partial"))


def test_two_processes_download_once(server, url, cache):
    server.script = [Answer(hang_after=600_000)]
    first = start_fetching(url, cache)
    assert server.reached.wait(HANG_S)
    second = start_fetching(url, cache)
    assert "waiting for another process" in second.stderr.readline()
    server.released.set()
    for child in (first, second):
        out, _ = child.communicate(timeout=HANG_S)
        assert child.returncode == 0
        assert Path(out.strip()).read_bytes() == CONTENT
    assert len(server.requests) == 1
    names = [p.name for p in cache.rglob("*") if p.is_file()]
    assert sorted(names) == ["net.pyth", "net.pyth.sha256"]


def test_the_waiting_process_takes_over_from_a_killed_one(server, url, cache):
    server.script = [Answer(hang_after=600_000)]
    first = start_fetching(url, cache)
    assert server.reached.wait(HANG_S)
    second = start_fetching(url, cache)
    assert "waiting for another process" in second.stderr.readline()
    first.kill()
    first.communicate()
    out, _ = second.communicate(timeout=HANG_S)
    assert Path(out.strip()).read_bytes() == CONTENT


def test_a_full_disk_leaves_nothing(server, url, cache, tmp_path):
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (400_000, 400_000))
    child = start_fetching(url, cache, preexec_fn=limit)
    _, err = child.communicate(timeout=HANG_S)
    assert "OSError: [Errno 27] File too large" in err
    assert everything_in(tmp_path) == []


def test_a_cache_that_cannot_be_written_is_explained(server, url, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match="file") as caught:
        fetch(url, tmp_path / "file")
    assert str(tmp_path / "file") in explain_os_error(caught.value)
    assert everything_in(tmp_path) == ["file"]
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "http").write_text("not a folder either")
    with pytest.raises(OSError, match="http") as caught:
        fetch(url, tmp_path / "cache")
    assert explain_os_error(caught.value)


def test_progress_is_a_few_lines_or_none(server, url, cache, capsys):
    cached_file(url, cache)
    lines = capsys.readouterr().err.splitlines()
    assert "net.pyth: downloading" in lines[0]
    assert "of 1.0 MB" in lines[0]
    assert "net.pyth: downloaded, 1.0 MB" in lines[-1]
    assert len(lines) == 2
    fetch(url, cache / "other")
    assert capsys.readouterr() == ("", "")


def test_progress_on_a_terminal_is_one_line(server, url, cache, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    cached_file(url, cache)
    text = sys.stderr.getvalue()
    assert text.startswith("\r")
    assert text.count("\n") == 1
    assert text.endswith("MB\n") or text.endswith("MB/s\n")
