"""tools/sweep_setup.py as a user runs it."""

import signal
import subprocess
import sys
from pathlib import Path

import matplotlib.font_manager  # noqa: F401  the first to come says on stderr that it takes long
import pytest
from processes import killed_at
from sweep_files import NETS, OURS, RATES, write

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "sweep_setup.py"


def contents(folder):
    return {p.relative_to(folder): p.is_file() and p.read_bytes() for p in folder.rglob("*")}


def errors(process):
    assert "Traceback" not in process.stderr
    return [line for line in process.stderr.splitlines() if line.startswith("error: ")]


def test_a_sweep_of_pycls_from_start_to_end(tool, tmp_path):
    path = next(path for path in OURS if path.stem == "cifar_regnet")
    process = tool("sweep_setup", "--sweep-cfg", path)
    assert (process.returncode, process.stderr) == (0, "")
    folder = tmp_path / "studies" / "cifar" / "cifar_regnet"
    assert sorted(p.name for p in folder.iterdir() if p.name != ".lock") == [
        "cfgs", "cfgs_summary.yaml", "logs", "setup.png", "setup.svg", "sweep_cfg.yaml",
    ]  # fmt: skip
    lines = process.stdout.splitlines()
    assert lines[0] == (
        "sweep cifar/cifar_regnet: 32 configurations in studies/cifar/cifar_regnet, set up"
    )
    assert " drawn, 32 within the constraints (0." in lines[1]
    assert any(line.startswith("  REGNET.DEPTH") for line in lines)
    low, high = next(line for line in lines if line.startswith("  flops")).split()[1::2]
    assert 120_000_000 <= int(low.replace(",", "")) <= int(high.replace(",", "")) <= 130_000_000
    assert "studies/cifar/cifar_regnet/setup.svg" in lines[-1]
    svg = (folder / "setup.svg").read_text()
    assert all(word in svg for word in ("REGNET.DEPTH", "flops", "params", "acts", "runs"))
    cfg = (folder / "cfgs" / "000031.yaml").read_text()
    assert "OUT_DIR: studies/cifar/cifar_regnet/logs/000031\n" in cfg


def test_again_the_same_and_other_settings(tool, tmp_path):
    command = ["sweep_setup", "--sweep-cfg", write(tmp_path / "a.yaml", NETS), "--root-dir", "out"]
    assert tool(*command, "--population-out", "nets.csv").returncode == 0
    assert len((tmp_path / "nets.csv").read_text().splitlines()) == 41
    before = contents(tmp_path / "out")
    process = tool(*command)
    assert "was set up before with the same settings, nothing changed" in process.stdout
    process = tool(*command, "SETUP.NUM_CONFIGS", "5")
    assert process.returncode == 2
    assert "add --replace" in errors(process)[0]
    assert contents(tmp_path / "out") == before
    process = tool(*command, "--replace", "SETUP.NUM_CONFIGS", "5")
    assert process.returncode == 0
    folder = tmp_path / "out" / "nets"
    assert len(list((folder / "cfgs").iterdir())) == 5
    # One population serves many sweeps.
    listed = {("SETUP",): {"POPULATION": "nets.csv", "BASE_CFG": NETS["SETUP"]["BASE_CFG"]}}
    other = write(tmp_path / "b.yaml", NETS, {("NAME",): "others", **listed})
    assert tool("sweep_setup", "--sweep-cfg", other, "--root-dir", "out").returncode == 0
    assert len(list((tmp_path / "out" / "others" / "cfgs").iterdir())) == 40
    # A launched one is left alone, and what was trained for good.
    out_dir = folder / "logs" / "000002"
    out_dir.mkdir()
    (out_dir / "stdout.log").write_text("x")
    before = contents(folder)
    process = tool(*command)
    assert process.returncode == 2
    assert "has been launched" in errors(process)[0]
    assert contents(folder) == before
    (out_dir / "run.json").write_text('{"status": "done"}')
    before = contents(folder)
    process = tool(*command, "--replace")
    assert process.returncode == 2
    assert "000002 has been trained" in errors(process)[0]
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["SETUP.NUM_CONFIG", "3"], ["SETUP.NUM_CONFIG", "did you mean 'NUM_CONFIGS'?"]),
        (["NAME", "a b"], ["command line: NAME is 'a b'", "cannot name a folder"]),
        (["SETUP.NUM_CONFIGS", "7", "SETUP.NUM_SAMPLES", "99"], ["only 6 of 7", "in 99 draws"]),
        (["SETUP.BASE_CFG.OPTIM.BASELR", "1"], ["unknown key", "OPTIM.BASE_LR"]),
        (["--population-out", "none/p.csv"], ["--population-out none/p.csv"]),
        (["--replace", "SETUP.BASE_CFG.ANYNET.SE_ON"], ["KEY VALUE pairs"]),
    ],
)
def test_mistakes_are_one_message_and_write_nothing(tool, tmp_path, words, parts):
    path = write(tmp_path / "a.yaml", RATES)
    process = tool("sweep_setup", "--sweep-cfg", path, *words)
    assert process.returncode == 2
    for part in parts:
        assert part in errors(process)[0]
    assert list(tmp_path.iterdir()) == [path]


def test_setting_up_needs_no_pytorch(tmp_path):
    code = (
        "import runpy, sys\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally: print([m for m in ('torch', 'pandas', 'cv2') if m in sys.modules])"
    )
    path = write(tmp_path / "a.yaml", NETS)
    code = f"import sys; sys.argv[0] = {str(TOOL)!r}\n{code}"
    words = ["--sweep-cfg", str(path), "--root-dir", str(tmp_path / "out")]
    process = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    assert process.stdout.splitlines()[-1] == "[]"


def test_a_killed_set_up_leaves_nothing_half(tmp_path):
    path = write(tmp_path / "a.yaml", NETS, {("SETUP", "NUM_CONFIGS"): 20})

    def command(root):
        return [str(TOOL), "--sweep-cfg", str(path), "--root-dir", root, "--replace"]

    def run(command):
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode

    assert run([sys.executable, *command("whole")]) == 0
    target = tmp_path / "torn" / "nets"
    # All files written, some renamed, all there but the folder not yet in its place.
    for function, n in (("sync", 1), ("replace", 10), ("rename", 1)):
        assert run(killed_at(function, n, *command("torn"))) == -signal.SIGKILL
        assert list(target.parent.iterdir())
        assert not target.exists()
    assert run([sys.executable, *command("torn")]) == 0
    assert [p.name for p in target.parent.iterdir()] == ["nets"]
    whole, torn = (
        {
            name: text and text.replace(root.encode(), b"ROOT")
            for name, text in contents(tmp_path / root / "nets").items()
        }
        for root in ("whole", "torn")
    )
    assert whole == torn
