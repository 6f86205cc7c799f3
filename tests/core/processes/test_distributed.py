"""Several processes: how they find each other, exchange, and go down together."""

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import distributed_jobs as jobs
import forked_tools
import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import HANG_S, is_alive, wait_until

from pycls.core.processes.launch_local import launch
from pycls.core.processes.world import World, expand_host_list, find_world
from pycls.errors import ConfigError, DataError, PyclsError, RunError

SCRIPT = str(Path(jobs.__file__))
PYTHON = sys.executable
TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "host",
    "MASTER_PORT": "29500",
}
SLURM = {
    "SLURM_JOB_ID": "77",
    "SLURM_STEP_ID": "0",
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_STEP_NODELIST": "gpu[08-09]",
    "SLURM_JOB_NODELIST": "gpu[01-20]",
    "SLURM_TASKS_PER_NODE": "2(x2)",
    "SLURM_CPUS_PER_TASK": "6",
}


JOB_NUMBERS = itertools.count(100 * os.getpid())


@pytest.fixture
def slurm_here():
    """What two tasks of Slurm on this machine have in common.

    The number of the job is each test's own: it is all that tells apart where they meet.
    """
    return {
        "SLURM_JOB_ID": str(next(JOB_NUMBERS)),
        "SLURM_STEP_ID": "0",
        "SLURM_NTASKS": "2",
        "SLURM_NODEID": "0",
        "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_TASKS_PER_NODE": "2",
    }


@pytest.fixture
def start():
    """Return a function (*command, **environ) -> its process, which ends with the test."""
    started = []

    def run(*command, python=PYTHON, **environ):
        quiet = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        process = subprocess.Popen(
            [python, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **quiet, **environ},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def of_three():
    """What three processes give for jobs that need PyTorch, by name; started only once."""
    calls = {"collectives": [], "train_steps": [5], "meter_goes_on": []}
    with forked_tools.in_place_of_python():
        results = launch(jobs.several, [list(calls.items())], 3)
    return dict(zip(calls, results, strict=True))


@pytest.fixture
def _impatient(monkeypatch):
    """Give the other children little time to end by themselves."""
    monkeypatch.setattr("pycls.core.processes.launch_local.SETTLE_S", 0.3)
    monkeypatch.setattr("pycls.core.processes.launch_local.KILL_S", 0.3)


# Which process is this?


def test_alone_without_variables():
    assert find_world({}, 1) is None
    assert find_world({}, 8) is None
    assert World().is_main


def test_torchrun_variables():
    world = find_world(TORCHRUN, 4)
    assert (world.rank, world.size, world.local_rank, world.local_size) == (3, 4, 1, 2)
    assert not world.is_main


def test_slurm_variables():
    world = find_world(SLURM, 4, (20000, 20999))
    assert (world.rank, world.size, world.local_rank, world.local_size) == (3, 4, 1, 2)
    assert world.cores == 6
    assert world.meeting.hosts == ("gpu08",)
    environ = {**SLURM, "SLURM_LAUNCH_NODE_IPADDR": "10.0.0.8"}
    assert find_world(environ, 4).meeting.hosts == ("gpu08", "10.0.0.8")
    assert all(20000 <= port <= 20999 for port in world.meeting.ports)
    assert len(set(world.meeting.ports)) == len(world.meeting.ports)


def test_all_tasks_of_a_slurm_step_agree_where_to_meet_and_other_steps_meet_elsewhere():
    first = find_world({**SLURM, "SLURM_PROCID": "0", "SLURM_NODEID": "0"}, 4)
    last = find_world(SLURM, 4)
    assert first.meeting == last.meeting
    for other in ({"SLURM_JOB_ID": "78"}, {"SLURM_STEP_ID": "1"}):
        meeting = find_world({**SLURM, **other}, 4).meeting
        assert meeting.name != first.meeting.name
        assert not set(meeting.ports) & set(first.meeting.ports)


def test_slurm_tasks_split_the_cores_of_a_node_where_none_are_given_to_a_task():
    environ = {**SLURM, "SLURM_CPUS_ON_NODE": "9"}
    del environ["SLURM_CPUS_PER_TASK"]
    assert find_world(environ, 4).cores == 4


def test_slurm_single_task_and_batch_script_are_alone():
    assert find_world({**SLURM, "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, 1) is None
    batch = {k: v for k, v in SLURM.items() if not k.startswith("SLURM_STEP")}
    assert find_world({**batch, "SLURM_PROCID": "0"}, 4) is None


@pytest.mark.parametrize("environ", [TORCHRUN, SLURM])
def test_other_number_of_processes_than_asked_for(environ):
    with pytest.raises(ConfigError, match=r"NUM_GPUS is 8, but .* started 4 processes; set NUM_"):
        find_world(environ, 8)


@pytest.mark.parametrize(
    ("environ", "changes", "message"),
    [
        (TORCHRUN, {"MASTER_PORT": None}, "MASTER_PORT is not"),
        (TORCHRUN, {"RANK": "4"}, "RANK is '4'; expected a number below 4"),
        (TORCHRUN, {"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two'"),
        (SLURM, {"SLURM_JOB_ID": None}, "SLURM_JOB_ID is not set"),
        (SLURM, {"SLURM_STEP_NODELIST": "gpu[1-"}, "no list of hosts"),
        (SLURM, {"SLURM_STEP_NODELIST": "gpu[1-x]"}, "'1-x' is no number"),
    ],
)
def test_broken_variables_are_named(environ, changes, message):
    environ = {k: v for k, v in {**environ, **changes}.items() if v is not None}
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        find_world(environ, 4)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("node1", ["node1"]),
        ("127.0.0.1", ["127.0.0.1"]),
        ("node[01-03,7],other", ["node01", "node02", "node03", "node7", "other"]),
        ("a-[9-11]", ["a-9", "a-10", "a-11"]),
        ("r[1-2]n[0-1].x,b", ["r1n0.x", "r1n1.x", "r2n0.x", "r2n1.x", "b"]),
    ],
)
def test_host_lists(text, hosts):
    assert expand_host_list(text) == hosts


@given(st.lists(st.integers(0, 99999), min_size=1, max_size=20), st.integers(1, 6))
def test_host_list_of_any_numbers(numbers, width):
    names = [f"n{i:0{width}d}" for i in numbers]
    assert expand_host_list("n[" + ",".join(name[1:] for name in names) + "]") == names
    assert expand_host_list(",".join(names)) == names


# Starting them here


def test_children_are_called_with_their_rank_and_without_torch():
    assert launch(jobs.no_torch, [], 3) == {"rank": 0, "size": 3, "torch": False}


def test_launcher_does_not_wait_for_torch(start):
    code = "import sys, pycls.core.processes.launch_local; sys.exit('torch' in sys.modules)"
    assert start("-c", code).wait(timeout=HANG_S) == 0


@pytest.mark.parametrize("number", [1, 65])
def test_too_many_processes(number):
    with pytest.raises(ConfigError, match=f"NUM_GPUS is {number}"):
        launch(jobs.no_torch, [], number)


def test_more_processes_than_gpus(monkeypatch):
    import torch

    from pycls.core.processes.group import local_device

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    cuda = torch.device("cuda")
    assert local_device(World(1, 2, 1, 2), cuda) == torch.device("cuda", 1)
    with pytest.raises(ConfigError, match=r"NUM_GPUS is 4.* it has 2 GPUs"):
        local_device(World(1, 4, 1, 4), cuda)
    with pytest.raises(ConfigError, match="DEVICE is 'cuda:1', one GPU for 2"):
        local_device(World(0, 2, 0, 2), torch.device("cuda", 1))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    slurm = World(1, 2, 1, 2, started_by="srun")
    assert local_device(slurm, cuda) == torch.device("cuda", 0)


@pytest.mark.slow
def test_collectives(of_three):
    assert of_three["collectives"] == {
        "threads": 1,
        "int64": [3 * (2**53 + 1), 0 + 1 + 2],
        "float64": pytest.approx(0.1 + 0.2 + 0.3, rel=1e-15),
        "mean": pytest.approx(1.0),
        "any": [True, False],
        "object": {"rank": 0, "list": [1, "a"]},
        "same": True,
        "buffers": [7.0, 3],
    }


@pytest.mark.slow
def test_three_processes_train_as_one_does(of_three):
    alone = jobs.train_steps(World(), 5)
    for one, three in zip(alone, of_three["train_steps"], strict=True):
        assert three == pytest.approx(one, rel=1e-10, abs=1e-12)


def test_main_process_alone_warns(capfd):
    assert launch(jobs.warn_in_all, [], 2) is None
    out, err = capfd.readouterr()
    assert (out, err) == ("printed\nprinted\n", "warning: said once\n")


# Going down together


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("rank", [0, 1])
def test_error_of_a_child_is_raised_as_it_was(rank, capfd):
    with pytest.raises(ConfigError, match=r"^KEY is wrong; mend it$") as caught:
        launch(jobs.raise_config_error, [rank], 2)
    assert caught.value.exit_code == 2
    assert capfd.readouterr() == ("", "")


def test_error_of_all_children_is_raised_once(capfd):
    with pytest.raises(DataError, match="the data set is damaged"):
        launch(jobs.raise_in_all, [], 3)
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("_impatient")
def test_defect_keeps_its_traceback():
    with pytest.raises(RuntimeError, match=r"(?s)process 1 of 2 failed:.*KeyError: 'a defect"):
        launch(jobs.defect, [], 2)


def test_error_of_the_environment_is_explained():
    with pytest.raises(PyclsError, match="/some/file: no space left"):
        launch(jobs.full_disk, [], 2)


@pytest.mark.usefixtures("_impatient")
def test_child_that_leaves_without_a_word():
    with pytest.raises(RunError, match="process 1 of 2 ended with exit code 3") as caught:
        launch(jobs.leave, [1, 3], 2)
    assert caught.value.exit_code == 3
    with pytest.raises(RunError, match="process 0 of 2 ended with exit code 0"):
        launch(jobs.leave, [0, 0], 2)


@pytest.mark.usefixtures("_impatient")
def test_child_that_does_not_listen_is_killed(tmp_path):
    with pytest.raises(SystemExit) as caught:
        launch(jobs.deaf_to_sigterm, [str(tmp_path)], 2)
    assert caught.value.code == 7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "size", "message"),
    [
        ("kill", 2, "error: process 1 of 2 was killed by SIGKILL"),
        ("raise", 3, "error: the loss is nan\n"),
    ],
)
def test_death_in_an_exchange_is_one_message(start, how, size, message):
    process = start(
        SCRIPT, "die_in_training", json.dumps([how]), size, python=forked_tools.python()
    )  # fmt: skip
    out, err = process.communicate(timeout=HANG_S)
    assert err.startswith(message)
    assert err.count("\n") == 1
    assert (out, process.returncode) == ("", 1)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2"])
def test_signals_are_passed_on_and_exit_code_comes_back(start, name, tmp_path):
    process = start(SCRIPT, "wait_for_signal", json.dumps([str(tmp_path)]), 2)
    wait_until(lambda: len(list(tmp_path.glob("pid*"))) == 2)
    process.send_signal(signal.Signals[name])
    out, err = process.communicate(timeout=HANG_S)
    assert (process.returncode, out, err) == (75, "", "")
    assert [(tmp_path / f"got{rank}").read_text() for rank in (0, 1)] == [name, name]


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", -signal.SIGTERM), ("SIGINT", 130)])
def test_signal_before_anyone_handles_it_ends_as_a_single_process_would(
    start, name, code, tmp_path
):
    process = start(SCRIPT, "wait_unprepared", json.dumps([str(tmp_path)]), 2)
    wait_until(lambda: len(list(tmp_path.glob("pid*"))) == 2)
    process.send_signal(signal.Signals[name])
    process.communicate(timeout=HANG_S)
    assert process.returncode == code


@pytest.mark.parametrize("job", ["wait_unprepared", "hang"])
def test_killed_launcher_leaves_no_children(start, job, tmp_path):
    process = start(SCRIPT, job, json.dumps([str(tmp_path)]), 3)
    wait_until(
        lambda: (
            len(list(tmp_path.glob("pid*"))) == 3
            and all(path.read_text() for path in tmp_path.glob("pid*"))
        )
    )
    pids = [int(path.read_text()) for path in tmp_path.glob("pid*")]
    assert all(is_alive(pid) for pid in pids)
    process.kill()
    wait_until(lambda: not any(is_alive(pid) for pid in pids))


@pytest.mark.slow
def test_counts_of_an_interrupted_epoch_are_those_of_all_processes(of_three):
    period, period_later, epoch, epoch_later = of_three["meter_goes_on"]
    assert period == period_later == pytest.approx(100 * (12 + 18) / 2 / 30)
    assert epoch == epoch_later == pytest.approx(100 * (6 + 12 + 18) / 90)


# Started by others


@pytest.mark.slow
def test_task_of_slurm_that_fails_leaves_at_once_and_the_other_says_why_it_stops(start, slurm_here):
    ranks = [{"SLURM_PROCID": rank, "SLURM_LOCALID": rank} for rank in "01"]
    tasks = [start(SCRIPT, "fail_in_flight", "[]", 2, **slurm_here, **rank) for rank in ranks]
    ends = [task.communicate(timeout=HANG_S) for task in tasks]
    assert [task.returncode for task in tasks] == [1, 1], ends
    assert ends[1] == ("", "error: the loss is nan\n")
    assert ends[0][1].startswith("error: process 0 of 2 lost the connection to another one")
    assert ends[0][1].count("\n") == 1


@pytest.mark.slow
def test_torchrun(start):
    command = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    command += ["--nproc-per-node", 2, SCRIPT, "train_steps", "[2]", 2]
    process = start(*command, python=forked_tools.python())
    out, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, err
    expected = jobs.train_steps(World(), 2)
    for one, two in zip(expected, json.loads(out), strict=True):
        assert two == pytest.approx(one, rel=1e-10, abs=1e-12)


@pytest.mark.slow
def test_slurm_tasks_meet_although_a_port_is_taken_and_names_mean_nothing(start, slurm_here):
    slurm = slurm_here | {
        "SLURM_STEP_NODELIST": "unheard-of[1-2].invalid",
        "SLURM_TASKS_PER_NODE": "1(x2)",
        "SLURM_LAUNCH_NODE_IPADDR": "127.0.0.1",
    }
    ranks = [{"SLURM_PROCID": rank, "SLURM_NODEID": rank, "SLURM_LOCALID": "0"} for rank in "01"]
    ports = find_world({**slurm, **ranks[0]}, 2).meeting.ports
    with socket.socket() as stranger:  # that accepts, and says nothing
        with contextlib.suppress(OSError):  # taken by somebody else: as good
            stranger.bind(("127.0.0.1", ports[0]))
            stranger.listen()
        forked = {"python": forked_tools.python(), **slurm}
        tasks = [start(SCRIPT, "collectives", "[]", 2, **{**forked, **rank}) for rank in ranks]
        ends = [task.communicate(timeout=HANG_S) for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], ends
    assert json.loads(ends[0][0])["int64"] == [2 * (2**53 + 1), 1]
    assert ends[1][0] == ""


def test_slurm_without_a_free_port_says_so(start, slurm_here):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        rank = {"SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
        ports = json.dumps([port, port])
        task = start(SCRIPT, "collectives", "[]", 2, ports, **slurm_here, **rank)
        _, err = task.communicate(timeout=HANG_S)
    assert task.returncode == 1
    assert err.startswith(f"error: no port to meet on is free on 127.0.0.1 (tried {port}); give")
