"""Slurm's commands and batch scripts, on a real cluster."""

import re
import time

import pytest
from processes import is_alive
from slurm_queue import wait_until

from pycls.errors import ConfigError
from pycls.slurm.batch_script import script_text
from pycls.slurm.client import Slurm
from pycls.slurm.commands import SlurmError, SlurmUnreachableError, SubmissionRefusedError
from pycls.slurm.options import LaunchOptions, override

ODD = 'it\'s a \\ "b"; $HOME `id` #c | %j é'
SMALL = {"NUM_GPUS": 0, "CPUS_PER_GPU": 1, "MEM_PER_GPU": 0.25, "TIME_LIMIT": 10}
HELD = {"SBATCH": {"hold": True}}


def options_of(**launch):
    return override(LaunchOptions.from_dict({**SMALL, **launch}))


def submit(folder, options, **given):
    """Submit a script; return the job's number."""
    folder.mkdir(exist_ok=True)
    given = {"job_name": "a", "module": "job", "count": None, "code": None, **given}
    path = folder / "script.sh"
    path.write_text(script_text(options, folder=folder, **given))
    return Slurm().submit(path)


def submit_python(folder, options, text, **given):
    """Submit a job that runs a text of Python."""
    folder.mkdir(exist_ok=True)
    (folder / "job.py").write_text(text)
    return submit(folder, options, code=folder, **given)


def show(slurm, job):
    """Return what Slurm holds of a waiting job; values go on to the next key."""
    text = slurm.run("scontrol", "--oneliner", "show", "job", str(job)).strip()
    keys = list(re.finditer(r"(?:^| )([A-Za-z:/]+)=", text))
    ends = [key.start() for key in keys[1:]] + [len(text)]
    return {key[1]: text[key.end() : end] for key, end in zip(keys, ends, strict=True)}


def jobs_of(*arrays):
    """Return the jobs that Slurm has of some arrays."""
    return [job for job in Slurm().jobs() if job.array_id in arrays]


def wait_for_end(*arrays):
    wait_until(lambda: not jobs_of(*arrays))


# ---------------------------------------------------------------- scripts


def test_slurm_understands_a_script_as_it_is_meant(slurm, tmp_path):
    options = options_of(
        NUM_GPUS=2, CPUS_PER_GPU=2, MEM_PER_GPU=0.5, TIME_LIMIT=90, PARTITION="high",
        COMMENT=ODD, SBATCH={"hold": True, "nice": 7},
    )  # fmt: skip
    job = show(slurm, submit(tmp_path / "a", options, count=7, throttle=3))
    assert job["ArrayTaskId"] == "0-6%3"
    assert (job["ArrayTaskThrottle"], job["JobName"], job["Partition"]) == ("3", "a", "high")
    assert (job["NumNodes"], job["NumCPUs"], job["CPUs/Task"]) == ("1-1", "4", "4")
    assert (job["MinMemoryNode"], job["TimeLimit"]) == ("1G", "01:30:00")
    assert (job["TresPerNode"], job["Requeue"], job["Nice"]) == ("gres:gpu:2", "1", "7")
    assert job["Comment"].rstrip() == ODD
    assert job["StdOut"] == job["StdErr"]


def test_slurm_understands_a_run_of_two_nodes(slurm, tmp_path):
    options = options_of(NUM_GPUS=4, GPUS_PER_NODE=2, **HELD)
    job = show(slurm, submit(tmp_path / "a", options, count=2, throttle=1))
    assert (job["NumNodes"], job["NumTasks"], job["CPUs/Task"]) == ("2-2", "4", "1")
    assert (job["TresPerNode"], job["MinMemoryNode"]) == ("gres:gpu:2", "512M")


def test_a_gres_is_asked_for_in_place_of_a_number(slurm, tmp_path):
    options = options_of(NUM_GPUS=2, GRES="gpu:2", **HELD)
    assert show(slurm, submit(tmp_path / "a", options))["TresPerNode"] == "gres:gpu:2"


def test_a_dependency_is_kept(slurm, tmp_path):
    first = submit(tmp_path / "a", options_of(**HELD))
    second = submit(tmp_path / "b", options_of(), dependency=f"afterany:{first}")
    assert show(slurm, second)["Dependency"].startswith(f"afterany:{first}")


def test_a_job_runs_what_it_shall_with_what_it_was_given(slurm, tmp_path):
    folder = tmp_path / "it's 100%j; $HOME é"
    text = (
        "import os, sys\n"
        "index, gpus = os.environ['SLURM_ARRAY_TASK_ID'], os.environ['CUDA_VISIBLE_DEVICES']\n"
        "print(sys.argv[1:], index, len(gpus.split(',')), __file__, flush=True)\n"
        "print('to stderr', file=sys.stderr)\n"
    )
    options = options_of(NUM_GPUS=2, SETUP=["echo set up"], TIME_LIMIT=1)
    array = submit_python(folder, options, text, count=2, arguments=[ODD, "3"], job_name=ODD)
    wait_for_end(array)
    for index in range(2):
        log = (folder / f"{array}_{index}.log").read_text()
        printed = f"{[ODD, '3']} {index} 2 {folder / 'job.py'}"
        assert log.splitlines() == ["set up", printed, "to stderr"]


def test_variables_of_the_user_do_not_stand_above_the_script(slurm, tmp_path, monkeypatch):
    for name, value in {"PARTITION": "high", "TIMELIMIT": "3", "MEM_PER_CPU": "2"}.items():
        monkeypatch.setenv(f"SBATCH_{name}", value)
    job = show(slurm, submit(tmp_path / "a", options_of(PARTITION="short", TIME_LIMIT=2, **HELD)))
    assert (job["Partition"], job["TimeLimit"]) == ("short", "00:02:00")
    job = show(slurm, submit(tmp_path / "b", options_of(**HELD)))
    assert (job["Partition"], job["TimeLimit"]) == ("high", "00:10:00")


def test_a_job_submitted_by_a_job_has_nothing_of_it(slurm, tmp_path):
    tell = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'), os.environ['SLURM_JOB_ID'])"
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "job.py").write_text(tell)
    (inner / "script.sh").write_text(
        script_text(options_of(), folder=inner, job_name="b", module="job", count=None, code=inner)
    )
    text = (
        f"{tell}\nfrom pycls.slurm.client import Slurm; "
        f"print(Slurm().submit({str(inner / 'script.sh')!r}))"
    )
    outer = submit_python(tmp_path / "outer", options_of(NUM_GPUS=1), text)
    wait_for_end(outer)
    gpus, own, second = (tmp_path / "outer" / f"{outer}.log").read_text().split()
    wait_for_end(int(second))
    assert (gpus.isdigit(), own) == (True, str(outer))
    assert not (inner / f"{second}.log").read_text().split()[0].isdigit()
    assert (inner / f"{second}.log").read_text().split()[1] == second


# ---------------------------------------------------------------- the cluster


def test_limits_and_partitions_are_those_of_the_cluster(slurm):
    limits = Slurm().limits()
    assert (limits.max_array_size, limits.max_jobs) == (1001, 10000)
    assert not limits.accounting
    found = Slurm().partitions()
    assert {name: (p.is_default, p.max_minutes) for name, p in found.items()} == {
        "debug": (True, None), "high": (False, None), "short": (False, 2),
    }  # fmt: skip
    assert all(partition.is_up for partition in found.values())


@pytest.mark.parametrize(
    ("launch", "parts"),
    [
        ({"PARTITION": "debgu"}, ["no partition 'debgu'", "did you mean 'debug'?", "short (up"]),
        ({"PARTITION": "debug,x"}, ["no partition 'x'", "debug (default)"]),
        ({"PARTITION": "short"}, ["TIME_LIMIT is 10 minutes", "short allows 2", "2 or less"]),
    ],
)
def test_requests_that_would_wait_for_ever_are_refused(slurm, launch, parts):
    with pytest.raises(ConfigError) as caught:
        Slurm().check_request(options_of(**launch))
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "launch",
    [
        {}, {"PARTITION": "high"}, {"PARTITION": "short", "TIME_LIMIT": 2},
        {"PARTITION": "short, high"}, {"PARTITION": "short", "QOS": "long"},
    ],
    ids=str,
)  # fmt: skip
def test_requests_that_may_run_are_not(slurm, launch):
    Slurm().check_request(options_of(**launch))


def test_a_partition_that_is_down_is_refused(slurm):
    slurm.run("scontrol", "update", "PartitionName=high", "State=DOWN")
    try:
        with pytest.raises(ConfigError, match=r"partition high is down.*high \(down\)"):
            Slurm().check_request(options_of(PARTITION="high"))
    finally:
        slurm.run("scontrol", "update", "PartitionName=high", "State=UP")


def test_without_a_default_a_partition_must_be_named(slurm, monkeypatch):
    slurm.run("scontrol", "update", "PartitionName=debug", "Default=NO")
    try:
        with pytest.raises(ConfigError, match=r"no default partition.*debug, high, short \(up"):
            Slurm().check_request(options_of())
        monkeypatch.setenv("SBATCH_PARTITION", "debug")
        Slurm().check_request(options_of())
    finally:
        slurm.run("scontrol", "update", "PartitionName=debug", "Default=YES")


@pytest.mark.parametrize(
    ("launch", "count", "parts"),
    [
        ({"MEM_PER_GPU": 900}, None, ["sbatch refused: Memory spec", "LAUNCH.MEM_PER_GPU lower"]),
        ({"NUM_GPUS": 3, "GPUS_PER_NODE": 3}, None, ["configuration is not", "LAUNCH.NUM_GPUS"]),
        ({"GPU_TYPE": "volta"}, None, ["Invalid feature", "LAUNCH.GPU_TYPE"]),
        ({"GRES": "fpga:1"}, None, ["generic resource", "LAUNCH.GRES"]),
        ({"SBATCH": {"reservation": "x"}}, None, ["reservation", "LAUNCH.SBATCH"]),
        ({"SBATCH": {"nonsense": "x"}}, None, ["sbatch refused:", "--nonsense"]),
        ({}, 1002, ["job array specification", "LAUNCH.MAX_JOBS"]),
    ],
    ids=str,
)
def test_what_sbatch_refuses_is_told_with_what_to_do(slurm, tmp_path, launch, count, parts):
    with pytest.raises(SubmissionRefusedError) as caught:
        submit(tmp_path / "a", options_of(**launch), count=count)
    assert not caught.value.is_full
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert Slurm().jobs() == []


# ---------------------------------------------------------------- jobs


def test_the_queue_shows_each_element_and_any_name(slurm, tmp_path):
    array = submit(tmp_path / "a", options_of(**HELD), count=1000, throttle=5, job_name=ODD)
    single = submit(tmp_path / "b", options_of(PARTITION="high", **HELD), job_name="b")
    jobs = Slurm().jobs()
    assert len(jobs) == 1001
    elements = [job for job in jobs if job.array_id == array]
    assert sorted(job.index for job in elements) == list(range(1000))
    assert {(job.name, job.state) for job in elements} == {(ODD, "PENDING")}
    assert {job.reason for job in elements} == {"JobHeldUser"}
    assert {job.job_name for job in elements} >= {f"{array}_0", f"{array}_999"}
    (other,) = [job for job in jobs if job.name == "b"]
    assert (other.array_id, other.index, other.job_name) == (single, None, str(single))


def test_what_a_user_likes_to_see_does_not_matter(slurm, tmp_path, monkeypatch):
    job = submit(tmp_path / "a", options_of(**HELD))
    monkeypatch.setenv("SQUEUE_FORMAT", "%i")
    monkeypatch.setenv("SQUEUE_STATES", "RUNNING")
    monkeypatch.setenv("SQUEUE_PARTITION", "high")
    assert [found.array_id for found in Slurm().jobs()] == [job]


def test_a_throttle_is_changed_while_jobs_run(slurm, tmp_path):
    array = submit_python(
        tmp_path / "a", options_of(), "import time; time.sleep(60)", count=4, throttle=1
    )

    def running():
        return sum(job.state == "RUNNING" for job in jobs_of(array))

    wait_until(lambda: running() == 1)
    assert Slurm().set_throttle(array, 3)
    wait_until(lambda: running() == 3)
    started = next(job for job in jobs_of(array) if job.state == "RUNNING")
    assert started.nodes.startswith("node")
    Slurm().cancel([array])
    wait_for_end(array)
    assert not Slurm().set_throttle(99999, 3)


def test_jobs_are_cancelled_by_array_and_by_element(slurm, tmp_path):
    array = submit(tmp_path / "a", options_of(**HELD), count=500)
    single = submit(tmp_path / "b", options_of(**HELD))
    Slurm().cancel([f"{array}_{index}" for index in range(450)] + [99999, "99999_3"])
    left = {job.job_name for job in Slurm().jobs()}
    assert left == {str(single)} | {f"{array}_{index}" for index in range(450, 500)}
    Slurm().cancel([array, single])
    assert Slurm().jobs() == []


def test_a_job_goes_back_to_the_queue(slurm, tmp_path):
    folder = tmp_path / "a"
    text = (
        "import os, time; print('start', os.environ.get('SLURM_RESTART_COUNT', 0), flush=True)\n"
        "time.sleep(0 if 'SLURM_RESTART_COUNT' in os.environ else 60)"
    )
    array = submit_python(folder, options_of(), text, count=1)
    log = folder / f"{array}_0.log"
    wait_until(lambda: log.is_file() and "start 0" in log.read_text())
    Slurm().requeue(f"{array}_0")
    Slurm().requeue(f"{array}_0")  # told twice: it waits already
    wait_for_end(array)
    assert re.findall(r"start \d", log.read_text()) == ["start 0", "start 1"]
    with pytest.raises(SlurmError, match="Invalid job id"):
        Slurm().requeue(99999)


def test_how_jobs_ended_is_told_without_accounting(slurm, tmp_path):
    text = (
        "import os, sys, time\n"
        "i = int(os.environ['SLURM_ARRAY_TASK_ID'])\n"
        "if i == 1: sys.exit(3)\n"
        "if i == 2: os.kill(os.getpid(), 9)\n"
        "if i > 2: time.sleep(60)\n"
    )
    array = submit_python(tmp_path / "a", options_of(), text, count=4)
    single = submit(tmp_path / "b", options_of(**HELD))
    wait_until(lambda: {job.index for job in jobs_of(array)} == {3})
    names = [f"{array}_{index}" for index in range(4)]
    ends = Slurm().end_states([*names, single, 99999])
    assert ends == {names[0]: "COMPLETED", names[1]: "FAILED", names[2]: "FAILED"}
    Slurm().cancel([array, single])
    wait_for_end(array)
    ends = Slurm().end_states([names[3], single])
    assert ends == {names[3]: "CANCELLED", str(single): "CANCELLED"}
    assert Slurm().end_states([]) == {}


# ---------------------------------------------------------------- a controller that is away


def test_a_controller_that_is_away_is_waited_for_or_told_of(slurm, tmp_path):
    job = submit(tmp_path / "a", options_of(**HELD))
    before = Slurm()
    pid = int((slurm.folder / "run" / "slurmctld.pid").read_text())
    slurm.run("scontrol", "shutdown", "slurmctld")
    try:
        wait_until(lambda: not is_alive(pid))
        start = time.monotonic()
        with pytest.raises(SlurmUnreachableError, match=r"does not answer.*LAUNCH.MODE local"):
            Slurm(patience_s=0.5)
        assert time.monotonic() - start < 30  # not the minutes that a request may take
    finally:
        slurm.restart_controller()
    assert [found.array_id for found in before.jobs()] == [job]


def test_accounting_tells_what_the_controller_has_forgotten(
    slurm_accounting, tmp_path, monkeypatch
):
    assert Slurm().limits().accounting
    # 1 is what a Python that does not start ends with.
    text = "import os, sys; sys.exit(3 * int(os.environ['SLURM_ARRAY_TASK_ID']))"
    array = submit_python(tmp_path / "a", options_of(), text, count=2)
    held = submit(tmp_path / "b", options_of(**HELD), count=3)
    wait_for_end(array)
    Slurm().cancel([held])
    names = [f"{array}_0", f"{array}_1", f"{held}_2"]
    monkeypatch.setattr("pycls.slurm.client.read_ended", lambda text: {})
    wait_until(lambda: len(Slurm().end_states(names)) == 3)
    ends = Slurm().end_states(names)
    assert [ends[name] for name in names] == ["COMPLETED", "FAILED", "CANCELLED"]
