"""Copies of the code that jobs run, whatever becomes of the code they were taken from."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import pycls
from pycls.core.runs.code_version import SNAPSHOT_FILE
from pycls.errors import ConfigError, PyclsError
from pycls.launch.snapshot import require_whole, snapshot_code

PACKAGE = Path(pycls.__file__).resolve().parent
TELL = (
    "import json, pycls; from pycls.core.runs.code_version import code_version; "
    "print(json.dumps([pycls.__file__, getattr(pycls, 'MARK', None), *code_version()]))"
)
TAKE = (
    "import sys; from pycls.launch.snapshot import *; "
    "print(snapshot_code(sys.argv[1]), Path(pycls.__file__).parents[1])"
)


@pytest.fixture
def checkout(tmp_path):
    """Return a git checkout that holds the package, and its commit."""
    root = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, root / "pycls", ignore=ignored)
    (root / ".gitignore").write_text("__pycache__/\n")
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*name, "commit", "-qm", "a"]):
        subprocess.run(["git", "-C", root, *command], check=True)
    head = ["git", "-C", root, "rev-parse", "HEAD"]
    return root, subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()


def python(code_folder, code, *arguments, cwd=None):
    """Run Python with the package of a folder, as a job does."""
    environment = {**os.environ, "PYTHONPATH": str(code_folder), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, *code, *map(str, arguments)]
    done = subprocess.run(
        command, env=environment, cwd=cwd, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def tell(code_folder, cwd=None):
    return json.loads(python(code_folder, ["-c", TELL], cwd=cwd))


def take(code_folder, target):
    """Return the copy that the code of a folder makes of itself, and the copy it runs from."""
    return python(code_folder, ["-c", TAKE], target).split()


def edit(root):
    path = root / "pycls" / "__init__.py"
    path.write_text(path.read_text() + "\nMARK = 'edited'\n")


def test_a_job_runs_the_code_as_it_was(checkout, tmp_path):
    root, commit = checkout
    (copy, ran_from) = take(root, tmp_path / "code")
    assert ran_from == str(root)
    edit(root)
    file, mark, recorded, dirty = tell(copy, cwd=root)
    assert (Path(file).parents[1], mark) == (Path(copy), None)
    assert (recorded, dirty) == (commit, False)
    assert tell(root)[1:] == ["edited", commit, True]


def test_modules_started_in_a_checkout_come_from_the_copy(checkout, tmp_path):
    """`python -m` in a checkout prefers the checkout: a copy would be passed over."""
    root, _ = checkout
    (copy, _) = take(root, tmp_path / "code")
    (root / "pycls" / "progress.py").write_text("raise SystemExit('edited')")
    assert python(copy, ["-m", "pycls.progress"], cwd=root) == ""


def test_the_same_code_is_copied_once_and_other_code_beside_it(checkout, tmp_path):
    root, commit = checkout
    first = take(root, tmp_path / "code")[0]
    stamp = Path(first, "pycls", "files.py").stat().st_mtime_ns
    assert take(root, tmp_path / "code")[0] == first
    assert Path(first, "pycls", "files.py").stat().st_mtime_ns == stamp
    edit(root)
    second = take(root, tmp_path / "code")[0]
    assert second != first
    assert tell(second)[1:] == ["edited", commit, True]
    assert {path.name for path in (tmp_path / "code").iterdir()} == {
        Path(first).name, Path(second).name,
    }  # fmt: skip


def test_another_commit_of_the_same_code_is_another_copy(checkout, tmp_path):
    root, commit = checkout
    first = take(root, tmp_path / "code")[0]
    (root / "README").write_text("new")
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["add", "."], [*name, "commit", "-qm", "b"]):
        subprocess.run(["git", "-C", root, *command], check=True)
    assert tell(first)[2] == commit
    assert tell(take(root, tmp_path / "code")[0])[2] not in (commit, None)


def test_a_job_launches_more_jobs_from_its_own_copy(checkout, tmp_path):
    root, _ = checkout
    copy = take(root, tmp_path / "code")[0]
    edit(root)
    assert take(copy, tmp_path / "code") == [copy, copy]


def files_of(folder):
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if "__pycache__" not in name.parts}


def test_a_package_without_git_is_copied_too(tmp_path):
    # What others compile meanwhile comes and goes.
    ignored = shutil.ignore_patterns("__pycache__")
    package = shutil.copytree(PACKAGE, tmp_path / "site-packages" / "pycls", ignore=ignored)
    copy = Path(take(package.parent, tmp_path / "code")[0])
    assert tell(copy) == [str(copy / "pycls" / "__init__.py"), None, None, None]
    assert files_of(copy / "pycls") == files_of(package)
    assert any(name.suffix != ".py" for name in files_of(copy / "pycls"))


def test_what_editors_and_python_leave_is_left_out(checkout, tmp_path):
    root, _ = checkout
    before = take(root, tmp_path / "a")[0]
    (root / "pycls" / "files.py~").write_text("old")
    (root / "pycls" / ".files.py.swp").write_text("old")
    (root / "pycls" / "__pycache__").mkdir(exist_ok=True)
    (root / "pycls" / "__pycache__" / "x.pyc").write_text("old")
    assert Path(take(root, tmp_path / "b")[0]).name == Path(before).name


def test_a_copy_is_guarded_against_edits_and_can_be_removed(tmp_path):
    copy = snapshot_code(tmp_path / "code")
    modes = {path.stat().st_mode & 0o777 for path in copy.rglob("*") if path.is_file()}
    assert modes == {0o444}
    assert (copy / SNAPSHOT_FILE).is_file()
    shutil.rmtree(tmp_path / "code")
    assert not (tmp_path / "code").exists()


def test_many_at_once_make_one_copy_and_leave_nothing_else(checkout, tmp_path):
    root, _ = checkout
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda _: take(root, tmp_path / "code")[0], range(4)))
    assert len(set(taken)) == 1
    assert list((tmp_path / "code").iterdir()) == [Path(taken[0])]


def test_a_kill_while_copying_leaves_nothing_that_reads_as_a_copy(tmp_path):
    """What is half written has another name, and the next copy is whole."""
    code = (
        "import os, sys; import pycls.launch.snapshot as s; "
        "s.os.sync = lambda: os._exit(1); s.snapshot_code(sys.argv[1])"
    )
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-c", code, str(tmp_path / "code")]
    assert subprocess.run(command, env=environment, check=False).returncode == 1
    left = list((tmp_path / "code").iterdir())
    copy = snapshot_code(tmp_path / "code")
    assert len(left) == 1
    assert left[0] != copy
    assert tell(copy)[0] == str(copy / "pycls" / "__init__.py")


def test_a_damaged_note_of_the_version_says_nothing(tmp_path):
    copy = snapshot_code(tmp_path / "code")
    (copy / SNAPSHOT_FILE).unlink()
    (copy / SNAPSHOT_FILE).write_text("{")
    assert tell(copy)[2:] == [None, None]


def test_a_folder_that_pythonpath_cannot_hold_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot have ':'"):
        snapshot_code(tmp_path / "a:b")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_copy_is_noticed_and_laid_again(tmp_path):
    copy = snapshot_code(tmp_path)
    require_whole(copy)
    package = copy / "pycls"
    (package / "files.py").chmod(0o644)
    (package / "files.py").write_bytes(bytes(100))
    (package / "errors.py").unlink()
    (package / "extra.py").write_text("")
    with pytest.raises(PyclsError, match="the code of the last launch is damaged"):
        require_whole(copy)
    assert snapshot_code(tmp_path) == copy
    require_whole(copy)
    assert (package / "files.py").stat().st_mode & 0o777 == 0o444
    shutil.rmtree(copy)
    with pytest.raises(PyclsError, match="is gone"):
        require_whole(copy)
