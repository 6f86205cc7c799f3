"""Batch scripts: what each LAUNCH key becomes, and that a shell reads it as meant."""

import os
import shlex
import shutil
import subprocess
import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sweep_files import PYCLS

from pycls.errors import ConfigError
from pycls.launch.snapshot import pack_snapshot
from pycls.slurm.batch_script import script_text
from pycls.slurm.commands import submission_environment
from pycls.slurm.options import LaunchOptions, override, read_options
from pycls.sweep.file import load_sweep_cfg

FOLDER = Path("/study/launch/0001")
ODD = 'it\'s a \\ "b"; $HOME `id` #c %j'


def script(options, **arguments):
    given = {"folder": FOLDER, "job_name": "a", "module": "a.b", "count": 3, **arguments}
    return script_text(options, **given)


def sbatch_options(text):
    """Return {option: value} as a shell would read them; True where there is no value."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#SBATCH "):
            (word,) = shlex.split(line.removeprefix("#SBATCH "))
            name, is_given, value = word.removeprefix("--").partition("=")
            found[name] = value if is_given else True
    return found


def given(**launch):
    return override(LaunchOptions.from_dict(launch))


ALWAYS = {
    "array": "0-2%3", "job-name": "a", "nodes": "1", "ntasks-per-node": "1",
    "open-mode": "append", "requeue": True, "output": f"{FOLDER}/%A_%a.log",
}  # fmt: skip


def test_a_script_says_what_the_defaults_mean_and_no_more():
    assert sbatch_options(script(given())) == ALWAYS | {
        "cpus-per-task": "10", "gpus-per-node": "1", "mem": "61440M", "time": "4200",
        "signal": "B:USR2@120",
    }  # fmt: skip


@pytest.mark.parametrize("path", PYCLS, ids=lambda path: path.stem)
def test_pycls_sweeps_give_the_options_that_their_keys_mean(path):
    sweep = load_sweep_cfg(path)
    launch = sweep.values["LAUNCH"]
    options = read_options(launch, sweep.where)
    text = script(options, count=32, throttle=options.parallel_jobs)
    assert sbatch_options(text) == ALWAYS | {
        "array": f"0-31%{min(32, launch['PARALLEL_JOBS'])}", "partition": "devlab",
        "cpus-per-task": "10", "gpus-per-node": "1", "mem": f"{60 * 1024}M",
        "time": str(launch["TIME_LIMIT"]), "signal": "B:USR2@120",
    }  # fmt: skip
    assert (
        launch["TIME_LIMIT"]
        == {"cifar_best": 180, "cifar_optim": 60, "cifar_regnet": 60}[path.stem]
    )


@pytest.mark.parametrize(
    ("launch", "expected"),
    [
        ({"PARTITION": "debug"}, {"partition": "debug"}),
        ({"ACCOUNT": "me", "QOS": "low"}, {"account": "me", "qos": "low"}),
        ({"GPU_TYPE": "volta&nvlink"}, {"constraint": "volta&nvlink"}),
        ({"GRES": "gpu:a100:1"}, {"gres": "gpu:a100:1", "gpus-per-node": None}),
        ({"NUM_GPUS": 0}, {"gpus-per-node": None, "cpus-per-task": "10", "mem": "61440M"}),
        ({"NUM_GPUS": 4}, {"gpus-per-node": "4", "cpus-per-task": "40", "mem": "245760M"}),
        (
            {"NUM_GPUS": 16},
            {"nodes": "2", "ntasks-per-node": "8", "gpus-per-node": "8", "cpus-per-task": "10",
             "mem": "491520M"},
        ),
        ({"NUM_GPUS": 4, "GPUS_PER_NODE": 2}, {"nodes": "2", "ntasks-per-node": "2"}),
        ({"RUNS_PER_GPU": 4}, {"gpus-per-node": "1", "cpus-per-task": "10"}),
        ({"CPUS_PER_GPU": 3, "MEM_PER_GPU": 0.5}, {"cpus-per-task": "3", "mem": "512M"}),
        ({"MEM_PER_GPU": 0}, {"mem": None}),
        ({"TIME_LIMIT": 2}, {"time": "2", "signal": "B:USR2@30"}),
        ({"SIGNAL_BEFORE": 300}, {"signal": "B:USR2@300"}),
        ({"SBATCH": {"nice": 5, "exclusive": True}}, {"nice": "5", "exclusive": True}),
    ],
    ids=str,
)  # fmt: skip
def test_each_key_becomes_its_option(launch, expected):
    options = sbatch_options(script(given(**launch)))
    assert {name: options.get(name) for name in expected} == expected


def test_a_single_job_and_a_dependency():
    text = script(given(), count=None, dependency="afterany:12:13")
    options = sbatch_options(text)
    assert "array" not in options
    assert (options["output"], options["dependency"]) == (f"{FOLDER}/%j.log", "afterany:12:13")


def run_script(text, tmp_path, **environment):
    """Run a script as Slurm does; return what it writes."""
    path = tmp_path / "script.sh"
    path.write_text(text)
    assert subprocess.run(["bash", "-n", path], check=False).returncode == 0
    environment = {"PATH": os.environ["PATH"], **environment}
    command = ["bash", path]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


def test_a_shell_hands_names_on_as_they_are(tmp_path):
    code = tmp_path / ODD.replace("\\", "")
    module = tmp_path / "look.py"
    module.write_text("import os, sys; print(sys.argv[1:], os.environ['PYTHONPATH'])")
    options = given(SETUP=["export A=1", "B=$A"], COMMENT=ODD)
    text = script(options, module="look", arguments=[ODD, "3", ""], code=code, job_name=ODD)
    out = run_script(text, tmp_path, PYTHONPATH=str(tmp_path)).stdout
    assert out == f"{[ODD, '3', '']} {code}:{tmp_path}\n"


def test_without_other_code_only_the_copy_is_named(tmp_path):
    options = given(PYTHON='echo "$PYTHONPATH" "$PYTHONSAFEPATH"')
    assert run_script(script(options, code=Path("/c")), tmp_path).stdout == "/c 1 -m a.b\n"


def test_what_setup_sets_is_there_for_python(tmp_path):
    options = given(SETUP=["f() { echo mine; }", 'A="$(f)"'], PYTHON='echo "$A"')
    assert run_script(script(options), tmp_path).stdout == "mine -m a.b\n"


def test_where_copies_go_is_said_in_the_nodes_own_variables(tmp_path):
    options = given(SETUP=["DISK='/my disk'"], STAGE='$DISK/"`a`', PYTHON='echo "$PYCLS_STAGE"')
    assert run_script(script(options), tmp_path).stdout == '/my disk/"`a` -m a.b\n'


def test_the_python_of_an_environment(tmp_path):
    (tmp_path / "my env" / "bin").mkdir(parents=True)
    python = tmp_path / "my env" / "bin" / "python"
    python.symlink_to(sys.executable)
    text = script(given(CONDA_ENV=str(tmp_path / "my env")))
    assert f"\n{shlex.quote(str(python))} -m a.b &\n" in text
    with pytest.raises(ConfigError, match=r"LAUNCH.CONDA_ENV is 'pycls', but there is no .*conda"):
        script(given(CONDA_ENV="pycls"))


def test_a_packed_environment_is_unpacked_once_on_a_node_or_the_shared_one_is_used(tmp_path):
    shared, archive = tmp_path / "my env", tmp_path / "env.tar.gz"
    venv.create(shared, with_pip=False)
    subprocess.run(["tar", "-czf", archive, "-C", shared, "."], check=True)
    copy = tmp_path / "code" / "0123"
    (copy / "pycls").mkdir(parents=True)
    (copy / "pycls" / "where.py").write_text("import sys; print(sys.prefix, __file__, flush=True)")
    (copy / "pycls_snapshot.json").write_text("{}")
    pack_snapshot(copy)
    options = given(ENVIRONMENT=str(archive), CONDA_ENV=str(shared))
    text = script(options, module="pycls.where", code=copy)
    local = tmp_path / "node's disk"

    def where(job=0):
        (tmp_path / f"job{job}").mkdir(exist_ok=True)
        done = run_script(text, tmp_path / f"job{job}", PYCLS_STAGE=str(local))
        prefix, _, file = done.stdout.strip().rpartition(" /")
        return Path(prefix), Path(f"/{file}"), done.stderr

    local.mkdir()
    with ThreadPoolExecutor(4) as pool:
        ((prefix, file, _),) = set(pool.map(where, range(4)))
    assert prefix.is_relative_to(local)
    assert file.is_relative_to(local)
    # One folder each, unpacked once: what one start has changed the next one still sees.
    file.write_text("print('/changed /x', flush=True)")
    assert where()[0] == Path("/changed")
    shutil.rmtree(local)
    local.touch()  # nothing can be unpacked there
    prefix, file, errors = where()
    assert (prefix, file) == (shared, copy / "pycls" / "where.py")
    assert f"{archive} cannot be unpacked on this node" in errors
    # What a job submits names the shared Python again.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYCLS_PYTHON", str(shared / "bin" / "python"))
        assert f"{shlex.quote(str(shared / 'bin' / 'python'))} -m a.b &" in script(given())
    with pytest.raises(ConfigError, match=r"LAUNCH.ENVIRONMENT is '/none.tar', but there is no"):
        script(given(ENVIRONMENT="/none.tar"))
    with pytest.raises(ConfigError, match=r"ENVIRONMENT and PYTHON both"):
        given(ENVIRONMENT="/none.tar", PYTHON="python")


def test_by_default_the_interpreter_is_this_one():
    assert f"\n{shlex.quote(sys.executable)} -m a.b &\n" in script(given())


@pytest.mark.parametrize(
    "arguments",
    [{"job_name": "a\n#SBATCH --wrap"}, {"folder": Path("/a\nb")}, {"arguments": ["\x1b"]},
     {"code": Path("/a:b")}, {"folder": Path("/a\\b")}],
    ids=str,
)  # fmt: skip
def test_what_a_script_cannot_hold_is_refused(arguments):
    with pytest.raises(ConfigError, match="choose another folder"):
        script(given(), **arguments)


def test_a_percent_sign_in_a_folder_is_none_of_slurms():
    options = sbatch_options(script(given(), folder=Path("/100%j/x")))
    assert options["output"] == "/100%%j/x/%A_%a.log"


def test_keys_that_submitit_adds_of_its_own_are_left_out():
    assert "wckey" not in script(given())  # refused where a cluster checks them


def test_variables_that_stand_above_a_script_are_taken_away():
    text = script(given(PARTITION="debug", SBATCH={"reservation": "mine"}))
    environ = {
        "SBATCH_PARTITION": "other", "SBATCH_ACCOUNT": "me", "SBATCH_RESERVATION": "theirs",
        "SBATCH_TIMELIMIT": "1", "SBATCH_ARRAY_INX": "1", "SBATCH_MEM_PER_NODE": "1",
        "SBATCH_WAIT": "1", "SBATCH_CLUSTERS": "x", "SBATCH_NO_REQUEUE": "1", "HOME": "/h",
        "SLURM_CONF": "/c", "CUDA_VISIBLE_DEVICES": "3", "SLURM_X": "1",
    }  # fmt: skip
    assert submission_environment(environ, text) == {
        "SBATCH_ACCOUNT": "me", "HOME": "/h", "SLURM_CONF": "/c", "CUDA_VISIBLE_DEVICES": "3",
        "SLURM_X": "1",
    }  # fmt: skip


def test_a_job_that_submits_hands_on_nothing_of_its_own():
    environ = {
        "SLURM_JOB_ID": "5", "SLURM_MEM_PER_NODE": "100", "SLURMD_NODENAME": "n",
        "CUDA_VISIBLE_DEVICES": "", "SLURM_CONF": "/c", "PYTHONPATH": "/a:/b:/a:/b",
    }  # fmt: skip
    expected = {"SLURM_CONF": "/c", "PYTHONPATH": "/a:/b"}
    assert submission_environment(environ, script(given())) == expected


def test_a_job_in_a_container_without_slurm_is_requeued_from_outside(tmp_path):
    """A stand-in for `apptainer exec IMAGE python3`: it has no command of Slurm's on its PATH."""
    slurm = tmp_path / "slurm"
    slurm.mkdir()
    for name, said in (("squeue", "RUNNING"), ("scontrol", ""), ("sinfo", "other")):
        (slurm / name).write_text(f'#!/bin/sh\necho "{name} $@" >> {tmp_path}/asked\necho {said}\n')
        (slurm / name).chmod(0o755)
    container = tmp_path / "container"
    container.write_text(f'#!/bin/sh\nPATH=/usr/bin:/bin exec {sys.executable} "$@"\n')
    container.chmod(0o755)
    (tmp_path / "look.py").write_text(
        "import pathlib, shutil, sys\n"
        f"pathlib.Path({str(tmp_path / 'seen')!r}).write_text(str(shutil.which('scontrol')))\n"
        "sys.exit(76)\n"
    )
    path = f"{slurm}:{os.environ['PATH']}"
    environment = {"PATH": path, "PYTHONPATH": str(tmp_path), "SLURM_JOB_ID": "12"}
    where = {"module": "look", "faults": tmp_path / "launch" / "faults"}

    def run(**launch):
        file = tmp_path / "job.sh"
        file.write_text(script(given(PYTHON=str(container), **launch), **where))
        (tmp_path / "asked").write_text("")
        code = subprocess.run(["bash", file], env=environment, check=False).returncode
        return code, (tmp_path / "asked").read_text()

    code, asked = run()
    assert (code, "scontrol requeue 12\n" in asked) == (76, True)
    in_container = (tmp_path / "seen").read_text()
    assert in_container in ("None", "/usr/bin/scontrol", "/bin/scontrol")
    assert str(slurm) not in in_container
    (tmp_path / "seen").unlink()
    # A line of SETUP that fails stops the job before the container is started.
    code, asked = run(SETUP=["module() { return 1; }", "module load apptainer"])
    assert (code, "scontrol requeue 12\n" in asked) == (76, True)
    assert not (tmp_path / "seen").exists()
    (fault,) = (tmp_path / "launch" / "faults").glob("*.json")
    assert "the line of SETUP failed: return 1" in fault.read_text()
