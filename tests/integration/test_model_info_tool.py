"""tools/model_info.py as a user runs it."""

import csv
import io
import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
REGNETX = CONFIGS / "dds_baselines" / "regnetx" / "RegNetX-400MF_dds_8gpu.yaml"
EFFNET = CONFIGS / "dds_baselines" / "effnet" / "EN-B0_dds_8gpu.yaml"
GOLDEN = json.loads((ROOT / "tests" / "data" / "model_complexity.json").read_text())
GOLDEN.pop("date-created")
NET = """\
MODEL: {TYPE: anynet}
ANYNET: {DEPTHS: [1, 1], WIDTHS: [16, 32], STRIDES: [1, 2], GROUP_WS: [8, 8]}
TRAIN: {IM_SIZE: 16}
"""
VIT = """\
MODEL: {TYPE: vit}
VIT: {NUM_LAYERS: 1, NUM_HEADS: 1, HIDDEN_DIM: 8, MLP_DIM: 8}
"""


def errors(text):
    assert "Traceback" not in text
    return [line for line in text.splitlines() if line.startswith("error: ")]


@pytest.fixture
def run_here(monkeypatch, capsys, tmp_path):
    """Return a function (*arguments) -> (exit code, output, errors) that starts no process.

    Most of a process's time is the import of PyTorch.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("warnings.formatwarning", None)  # brings back what run_tool replaces

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["model_info.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as leaving:
            runpy.run_path(str(ROOT / "tools" / "model_info.py"), run_name="__main__")
        return leaving.value.code, *capsys.readouterr()

    return run


@pytest.fixture
def folder(tmp_path):
    """Return a folder with two networks, a file of another kind, and two broken ones."""
    folder = tmp_path / "nets"
    (folder / "inner").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for name in ("b.yaml", "inner/a.yml", ".hidden/c.yaml"):
        (folder / name).write_text(NET)
    (folder / "sweep.yaml").write_text("NAME: a sweep\nSETUP: {}\n")
    (folder / "broken.yaml").write_text("MODEL: [\n")
    (folder / "typo.yaml").write_text(NET.replace("DEPTHS", "DEPTH"))
    return folder


def test_all_published_configurations(tool):
    process = tool("model_info", CONFIGS, "--csv", "-")
    assert (process.returncode, errors(process.stderr)) == (0, [])
    rows = list(csv.DictReader(io.StringIO(process.stdout)))
    paths = [row["config"] for row in rows]
    assert paths == sorted(paths, key=Path)
    counts = {
        Path(row["config"]).relative_to(ROOT).as_posix(): {
            name: int(row[name]) for name in ("flops", "params", "acts")
        }
        for row in rows
    }
    assert {path: counts.get(path) for path in GOLDEN} == GOLDEN
    skipped = [line for line in process.stderr.splitlines() if line.startswith("warning: ")]
    assert len(skipped) == len(list((CONFIGS / "sweeps").rglob("*.yaml")))


def test_one_configuration_with_overrides_and_figure(run_here, tmp_path):
    code, output, _ = run_here(
        REGNETX, "--figure", "stages.svg", "--set", "MODEL.NUM_CLASSES", "7", "RNG_SEED", "2"
    )
    assert code == 0
    lines = output.splitlines()
    assert lines[0] == str(REGNETX)
    assert "  classes  7" in lines
    stages = [line.split()[0] for line in lines if line.startswith("  s")]
    assert stages == ["stage", "stem", "s1", "s2", "s3", "s4"]
    assert lines[-1] == "wrote stages.svg"
    assert "group width g" in (tmp_path / "stages.svg").read_text()


def test_stages_of_several_configurations_as_csv(run_here, tmp_path):
    code, output, _ = run_here(REGNETX, EFFNET, "--stages", "--csv", "stages.csv")
    assert (code, output) == (0, "wrote stages.csv\n")
    rows = list(csv.DictReader((tmp_path / "stages.csv").open()))
    for path in (EFFNET, REGNETX):
        total = sum(int(row["flops"]) for row in rows if row["config"] == str(path))
        assert total == GOLDEN[path.relative_to(ROOT).as_posix()]["flops"]


def test_folder_names_what_it_cannot_use_and_lists_the_rest(run_here, folder):
    with pytest.warns(UserWarning, match="has no MODEL section") as warned:
        code, output, problems = run_here(folder)
    assert code == 1
    names = [line.split()[0] for line in output.splitlines()[1:]]
    assert names == [str(folder / "b.yaml"), str(folder / "inner" / "a.yml")]
    broken, typo = errors(problems)
    assert "broken.yaml" in broken
    assert "typo.yaml: unknown key 'ANYNET.DEPTH'" in typo
    (warning,) = warned
    assert str(warning.message).startswith(f"{folder / 'sweep.yaml'}: ")


def test_scaled_configuration_is_written_and_has_the_printed_complexity(run_here, tmp_path):
    code, output, _ = run_here(REGNETX, "--scale", "d1_w8_g8_r1", "4", "--out", "scaled.yaml")
    assert code == 0
    (flops,) = [line for line in output.splitlines() if line.startswith("  flops")]
    new, old = (int(word.strip("()").replace(",", "")) for word in flops.split() if "(" in word)
    assert old == GOLDEN[REGNETX.relative_to(ROOT).as_posix()]["flops"]
    assert flops.split()[-1] == f"{new / old:.3f}"
    assert 3 < new / old < 5
    text = (tmp_path / "scaled.yaml").read_text()
    assert text.startswith(f"# {REGNETX.name} scaled as d1_w8_g8_r1 by a factor of 4: from 397.7")
    _, again, _ = run_here("scaled.yaml")
    assert f"({new:,})" in again
    assert "ratio" not in again


def test_scaling_of_the_configuration_itself_is_acted_on(run_here, tmp_path):
    net = NET.replace("TYPE: anynet", "TYPE: anynet, SCALING_TYPE: w, SCALING_FACTOR: 4.0")
    (tmp_path / "net.yaml").write_text(net)
    code, output, _ = run_here("net.yaml", "--figure", "net.png")
    assert code == 0
    widths = [line.split()[5] for line in output.splitlines() if line.startswith("  s")]
    assert widths[-2:] == ["32", "64"]
    assert (tmp_path / "net.png").stat().st_size > 1000


def test_folder_of_which_some_cannot_be_scaled(run_here, tmp_path):
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "net.yaml").write_text(NET)
    (tmp_path / "nets" / "vit.yaml").write_text(VIT)
    code, output, problems = run_here("nets", "--scale", "w", "4")
    assert code == 1
    assert [line.split()[0] for line in output.splitlines()] == ["config", "nets/net.yaml"]
    (message,) = errors(problems)
    assert "nets/vit.yaml: MODEL.TYPE is 'vit'" in message


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["missing.yaml"], ["missing.yaml", "no such file"]),
        (["nets/sweep.yaml"], ["sweep.yaml", "no MODEL section but NAME, SETUP"]),
        (["empty"], ["empty", "no YAML files"]),
        (["net.yaml", "--set", "MODEL.CLASSES", "3"], ["MODEL.CLASSES", "MODEL.NUM_CLASSES"]),
        (["nets", "--set", "MODEL.CLASSES", "3"], ["MODEL.CLASSES"]),
        (["net.yaml", "--scale", "d1_x2", "4"], ["net.yaml", "d1_x2", "d1_w8_g8_r1"]),
        (["vit.yaml", "--scale", "dw", "2"], ["vit.yaml", "'vit'", "can be scaled"]),
        (["net.yaml", "--out", "o.yaml"], ["--out", "--scale"]),
        (["net.yaml", "--scale", "w", "2", "--out", "./net.yaml"], ["configuration itself"]),
        (["nets", "--scale", "w", "2", "--out", "o.yaml"], ["--out is for one"]),
        (["net.yaml", "--figure", "f.bmp"], ["f.bmp", ".svg, .pdf, .png"]),
        (["vit.yaml", "--figure", "f.png"], ["vit.yaml", "no stages to draw"]),
        (["net.yaml", "--csv", "none/f.csv"], ["--csv", "no folder none"]),
    ],
)
@pytest.mark.filterwarnings("ignore:nets/sweep.yaml")
def test_mistakes_are_one_message_and_write_nothing(run_here, folder, tmp_path, arguments, parts):
    (folder / "broken.yaml").unlink()
    (folder / "typo.yaml").unlink()
    (tmp_path / "empty").mkdir()
    (tmp_path / "net.yaml").write_text(NET)
    (tmp_path / "vit.yaml").write_text(VIT)
    before = {path: path.is_file() and path.read_text() for path in tmp_path.rglob("*")}
    left, output, problems = run_here(*arguments)
    assert left == 2
    (message,) = errors(problems)
    for part in parts:
        assert part in message
    assert output == ""
    assert before == {path: path.is_file() and path.read_text() for path in tmp_path.rglob("*")}
