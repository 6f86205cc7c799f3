"""The cases of tests/reported_cases, each by its own commands: what comes, and no traceback.

Python is a stand-in that forks each tool from a process that has imported PyTorch; with
PYCLS_SOAK_CASES set it is Python itself.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import forked_tools
import pytest

from pycls.analysis.any_table.correlations import correlation_table, table_warnings
from pycls.analysis.any_table.read import read_table
from pycls.analysis.any_table.rows import Request
from pycls.errors import PyclsError
from pycls.files import cache_folder, csv_text

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT / "tests" / "reported_cases"
IS_SOAK = "PYCLS_SOAK_CASES" in os.environ
# The time limit is there for what hangs.
LIMIT = 900

# Case -> patterns that its output has, in this order; one with "!" before it has no place there.
EXPECTED = {
    "checkpoint-of-other-kinds": [
        r"sd.pth.tar: not a checkpoint .*'state_dict', 'epoch'",
        r"model.pth: not a checkpoint .*'model', 'epoch'",
        r"light.ckpt: .*'state_dict'",
        r"m.safetensors|test error",
        "script.pt: .*TorchScript",
        "lfs.pyth: .*git lfs pull",
        "html.pyth: .*a web page",
        "error: folder: (is a folder|no such checkpoint file)",
    ],
    "checkpoint-prefixes-and-keys": ["done: test error"] + 3 * ["was trained with TRAIN.WEIGHTS"],
    "class-vanishes": ["bird +4 +1\n"],
    "csv-absolute-paths": ["22 train, 2 test images"],
    "csv-columns-ignored": ["columns that are not used: 'is_train'"],
    "csv-labels-by-case": ["differ only in the case .*'Cat' and 'cat'; 'Dog' and 'dog'"],
    "ctrl-c-while-importing": [r"interrupted\n\[rc=130\]"],
    "file-of-the-wrong-kind": 2 * ["sweep.yaml: is a sweep file .*sweep_setup.py --sweep-cfg"],
    "hidden-folder-is-a-class": ["4 files left out, as hidden", "!ipynb_checkpoints +[0-9]"],
    "huge-image": ["make it smaller", "!decompression bomb"],
    "key-equals-value": ["done: test error", "classes  10"],
    "key-in-lower-case": [r"unknown key 'optim.base_lr'.* did you mean OPTIM.BASE_LR\?"],
    "largely-of-different-architectures": ["Few architectures: 28 have both", "!largely"],
    "launch-from-another-folder": ["nothing was begun: .*not prepared.*elsewhere/data"],
    "launch-values-with-units": ["'60G'; .*in gigabytes; write 60", "in minutes; write 1440"],
    "layouts-not-known": ["p/tin: 24 train", "the version for C or Matlab", "p/imagenet: 24 train"],
    "log-record-with-text-behind": [r"000000,0,done,2,2,83\.3333,50\.0"],
    "negative-zero": ["!-0.0000"],
    "one-class-folder": ["error: raw: a single class, 'cat'"],
    "other-formats-left-out-silently": ["22 train, 3 test images"],
    "other-pycls-is-imported": ["imports another package pycls, of .*other", "has no package"],
    "out-dir-empty": ["error: OUT_DIR is empty; .*runs/NAME", "!checkpoints"],
    "output-encoding": [r"\?-moth +7"],
    "path-hidden-by-prepared-set": ["train side of birds: 20 images, decoded", "done: test error"],
    "pycls-data-folder": ["train side of data/imagenet: .*decoded from files", "done: test error"],
    "pycls-entry-point": ["run_net.py\n", "error: OUT_DIR is not named .*runs/NAME"],
    "raw-as-second-word": 2 * ["'raw' is a folder, .*prepare folder --raw raw --name NAME"],
    "seed-too-large": ["RNG_SEED is 18446744073709551616; expected at most 18446744073709551615"],
    "shm-hang": ["/dev/shm .*docker run --shm-size"],
    "source-changed": [r"the files in raw are others than .*cat/new.jpg.*--replace"],
    "stdout-closed": ["!error"],
    "study-batch-larger-than-set": 2 * ["TRAIN.BATCH_SIZE is 64, .*54 training images"],
    "table-mean-and-deviation": [
        r"cells such as '45.48±0.3' the mean",
        r"'45.48 \(0.3\)' the mean",
    ],
    "table-of-scores": ["out/index.html", "param_count: no percentages", "out/index.html"],
    "table-of-two-units": ["Accuracies of imagenet are read as fractions of 1"],
    "table-that-is-no-table": [
        "j.json: JSON is not read",
        "it is read transposed",
        "out/index.html",
        "out/index.html",
    ],
    "table-with-two-id-columns": ["'model' and 'img_size' together", "--average-repeats"],
    "test-set-of-other-classes": ["antbee has other classes than TRAIN.DATASET catdog: .*ant, bee"],
    "tilde-not-expanded": [
        "home/runs/x",
        "cannot access './~'",
        "home/w.pyth: no such checkpoint file",
        "home/bugs_sweeps/v/tilde",
    ],
    "time-limit-sexagesimal": ["'12:00:00'; .*in minutes; write 720", "RNG_SEED: 10\n"],
    "train-folder-with-capital": ["done: test error"],
    "zip-with-lzma": ["method LZMA, which is not read here; unpack it"],
}
# Those that need a Python of their own, or a mount, or that take long for what they compute, and
# the tests by which the suite holds the same; `make soak` runs them as all others.
FAULTS = "tests/test_reported_faults.py"
TREES = "tests/datasets/loading/test_tree_loader.py"
HELD_BY = {
    "checkpoint-of-other-kinds": (FAULTS, "test_files_that_are_no_checkpoints_are_named"),
    "checkpoint-prefixes-and-keys": (FAULTS, "test_forms_of_weights_that_are_read"),
    "ctrl-c-while-importing": (FAULTS, "test_ctrl_c_while_modules_are_imported"),
    "other-pycls-is-imported": (
        "tests/test_commands.py", "test_a_tool_takes_its_own_checkout_beside_another_pycls",
    ),
    "output-encoding": (FAULTS, "test_closed_and_narrow_output"),
    "path-hidden-by-prepared-set": (
        TREES, "test_a_path_is_a_path_whatever_the_data_folder_holds",
    ),
    "pycls-data-folder": (TREES, "test_a_path_is_a_path_whatever_the_data_folder_holds"),
    "shm-hang": (TREES, "test_shared_memory_that_is_full_is_named_and_nothing_waits"),
    "stdout-closed": (FAULTS, "test_closed_and_narrow_output"),
    "test-set-of-other-classes": (FAULTS, "test_both_sides_are_of_the_same_classes"),
    "tilde-not-expanded": (FAULTS, "test_numbers_are_decimal_and_homes_are_homes"),
    "time-limit-sexagesimal": (FAULTS, "test_units_of_a_launch_are_named"),
    "train-folder-with-capital": (
        TREES, "test_folders_and_formats_are_those_of_the_preparation",
    ),
}  # fmt: skip
# Cases of tables -> those that are read, and with what; the suite draws no figures of them.
TABLES = {
    "largely-of-different-architectures": [("table.csv", Request("imagenet"))],
    "negative-zero": [("table.csv", Request("imagenet"))],
    "table-mean-and-deviation": [
        ("pm.csv", Request("imagenet")), ("pm2.csv", Request("imagenet")),
    ],
    "table-of-scores": [
        ("zc.csv", Request("synflow", ("acc",))), ("t.csv", Request("imagenet", ("param_count",))),
    ],
    "table-of-two-units": [("table.csv", Request("imagenet"))],
    "table-that-is-no-table": [
        (name, Request("imagenet")) for name in ("j.json", "trans.csv", "table.csv.gz")
    ],
    "table-with-two-id-columns": [
        ("results-two-sizes.csv", Request("top1")), ("long.csv", Request("in1k")),
    ],
}  # fmt: skip


def test_every_case_has_an_expected_outcome():
    assert {path.name for path in CASES.iterdir() if path.is_dir()} == EXPECTED.keys()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return what a case takes for the project's folder."""
    if IS_SOAK:
        return ROOT
    folder = tmp_path_factory.mktemp("project")
    (folder / "tools").symlink_to(ROOT / "tools")
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(forked_tools.python())
    return folder


def check(case, output):
    """Hold an output against what is expected of a case."""
    assert "Traceback" not in output
    place = 0
    for pattern in EXPECTED[case]:
        if pattern.startswith("!"):
            assert not re.search(pattern[1:], output), output
            continue
        found = re.compile(pattern).search(output, place)
        assert found, f"{pattern!r} is not in, or not in this order:\n{output[-4000:]}"
        place = found.end()


@pytest.mark.parametrize("case", EXPECTED)
def test_a_case_comes_out_as_it_should(case, project, tmp_path):
    if not IS_SOAK and case in HELD_BY.keys() | TABLES.keys():
        pytest.skip("only in make soak")
    if case == "shm-hang" and subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("no file system may be mounted here")
    folder = tmp_path / case
    shutil.copytree(CASES / case, folder)
    environment = {
        **os.environ, "P": str(project), "HOME": str(tmp_path / "home"), "LC_ALL": "C.UTF-8",
        "PYCLS_CACHE": str(cache_folder()), "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    done = subprocess.run(
        ["bash", str(folder / "cmd.sh")], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    check(case, done.stdout)
    if case == "stdout-closed":
        assert '"status": "done"' in (folder / "out" / "run.json").read_text()


@pytest.mark.parametrize("case", TABLES)
def test_the_tables_of_a_case_are_read_as_they_should(case, monkeypatch):
    monkeypatch.chdir(CASES / case)
    said = []
    for path, request in TABLES[case]:
        try:
            table = read_table(path, request)
        except PyclsError as error:
            said.append(f"error: {error}")
            continue
        correlations = correlation_table(table)
        said += [*table.notes, *table.warnings, *table_warnings(table, correlations)]
        said += [csv_text([correlations.columns, *correlations.values.tolist()]), "out/index.html"]
    check(case, "\n".join(said))


@pytest.mark.parametrize("case", HELD_BY)
def test_the_test_that_holds_a_case_is_there(case):
    file, name = HELD_BY[case]
    assert f"def {name}(" in (ROOT / file).read_text()
