"""Preparation killed at random moments and started again gives the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
from archives import make_image, pack

from pycls.datasets.preparation.prepare import prepare
from pycls.datasets.store.store import is_store, verify_store

pytestmark = pytest.mark.slow

SOAK = os.environ.get("PYCLS_SOAK_PREPARE_KILLS")
KILLS = int(SOAK or 3)
SIZE = 200
CODE = """
import sys
from pycls.datasets.preparation.prepare import prepare
print("begins", flush=True)
prepare("folder", sys.argv[1], raw=sys.argv[2], name="mine", size=int(sys.argv[3]), workers=2)
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A zip of 250 images; comments make files of few pictures differ in size and content."""
    images = [make_image(seed, height=240, width=320) for seed in range(8)]
    tree = {}
    for at in range(250):
        data = images[at % len(images)]
        comment = str(at).encode() * 3
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        tree[f"{'cat' if at % 2 else 'dog'}/{at:03d}.jpg"] = data[:2] + segment + data[2:]
    path = tmp_path_factory.mktemp("raw") / "mine.zip"
    path.write_bytes(pack("zip_stored", tree))
    return path


def start(folder, archive):
    """Return a process that has just begun to prepare the set."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(folder), str(archive), str(SIZE)],
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    with process.stdout:
        assert process.stdout.readline() == b"begins\n"
    return process


def contents(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_killed_and_started_again_is_as_undisturbed(archive, tmp_path):
    process = start(tmp_path / "undisturbed", archive)
    begin = time.monotonic()
    assert process.wait() == 0
    usual_s = time.monotonic() - begin
    expected = contents(tmp_path / "undisturbed" / "mine")
    folder = tmp_path / "killed"
    path = folder / "mine"
    seed = random.randrange(1 << 32) if SOAK else 0
    moments = random.Random(seed)
    kills = 0
    while kills < KILLS:
        process = start(folder, archive)
        time.sleep(moments.uniform(0, usual_s))
        process.kill()
        kills += process.wait() == -signal.SIGKILL
        if is_store(path):
            # It was done before the kill: complete, or it would not be there. Once more.
            verify_store(path)
            assert contents(path) == expected, f"seed {seed}"
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
    assert prepare("folder", folder, raw=archive, name="mine", size=SIZE) == path
    assert contents(path) == expected, f"seed {seed}"
    assert sorted(left.name for left in folder.iterdir()) == [".mine.lock", "mine"]
