"""The cluster that the tests of launching stand on does what they take for granted."""

import multiprocessing
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from slurm_cluster import ClusterError, ClusterOptions, SlurmCluster, processes, settings
from slurm_queue import job_record, run, squeue, submit, wait_for_file, wait_until

from pycls.errors import ConfigError

COMMAND = [sys.executable, str(Path(__file__).resolve().parents[2] / "dev" / "slurm_cluster")]

# A process in the place of the batch script, which notes the signals it gets; on USR2 it
# requeues its job, on TERM it leaves.
LISTENER = f"""exec {sys.executable} -c '
import os, signal, subprocess, time
def note(text):
    with open("LOG", "a") as file:
        file.write(os.environ.get("SLURM_RESTART_COUNT", "0") + " " + text + chr(10))
def take(number, frame):
    note(signal.Signals(number).name)
    if number == signal.SIGUSR2:
        # The SIGTERM of the requeueing may come before scontrol returns.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=True)
    os._exit(75)
signal.signal(signal.SIGUSR2, take)
signal.signal(signal.SIGTERM, take)
note("start")
while True:
    time.sleep(0.1)
'"""


def listener(log):
    """Return the listener's script."""
    return LISTENER.replace("LOG", str(log))


def belonging_to(cluster):
    """Return every process of a cluster."""
    return [*processes.daemons(cluster.folder), *processes.job_processes(cluster.conf)]


def sbatch(cluster, folder, name, text, *options):
    """Submit a bash script to one of several clusters; return the job's number."""
    (folder / name).write_text(f"#!/bin/bash\n{text}\n")
    options = [*options, "--output=/dev/null", f"--job-name={name}"]
    return cluster.run("sbatch", "--parsable", *options, str(folder / name)).strip()


@pytest.fixture(scope="module")
def second(tmp_path_factory, slurm_session):
    """Return a second cluster, where a job that is preempted gets no grace."""
    without_grace = {"debug": settings.PARTITIONS["debug"] + " GraceTime=0"}
    options = ClusterOptions(nodes=2, partitions=without_grace)
    cluster = SlurmCluster(tmp_path_factory.mktemp("slurm"), options)
    cluster.start(stop_with_parent=True)
    yield cluster
    cluster.stop(wipe=True)


@pytest.fixture(scope="module", autouse=True)
def timed_job_log(second, tmp_path_factory):
    """Return the log of a listener with a time limit on the second cluster's first node.

    Slurm looks at time limits every 30 s, and may announce one that much earlier than asked: here
    not in the first 10 s, before the listener listens. The job waits for it beside all other
    tests.
    """
    folder = tmp_path_factory.mktemp("timed")
    options = ["--nodelist=node1", "--time=1", "--signal=B:USR2@20"]
    sbatch(second, folder, "timed", listener(folder / "log"), *options)
    return folder / "log"


@pytest.fixture(scope="module")
def disturbed(slurm_session, second, tmp_path_factory):
    """Return {disturbance: (lines of the listener's log, what the controller then knows)}.

    A job that goes back to the queue waits there for 6 s, so they all do it together.
    """
    folder = tmp_path_factory.mktemp("disturbed")
    whole = "--ntasks=4"
    options = {
        "requeued": (slurm_session, "--nodelist=node1"),
        "warned": (slurm_session, "--nodelist=node2", whole, "--signal=B:USR2@30"),
        "killed": (slurm_session, "--exclude=node1,node2"),
        "preempted": (second, "--nodelist=node2", whole),
    }
    logs = {name: folder / f"{name}.log" for name in options}
    jobs = {
        name: sbatch(cluster, folder, name, listener(logs[name]), *rest)
        for name, (cluster, *rest) in options.items()
    }
    for log in logs.values():
        wait_for_file(log)

    def record(name):
        text = options[name][0].run("scontrol", "--oneliner", "show", "job", jobs[name])
        return dict(part.split("=", 1) for part in text.split() if "=" in part)

    slurm_session.run("scontrol", "requeue", jobs["requeued"])
    node = record("killed")["NodeList"]
    slurm_session.kill_node(node)
    slurm_session.node_down(node)
    assert slurm_session.node_states()[node].startswith("down")
    for cluster in (slurm_session, second):
        urgent = folder / f"urgent{cluster.options.nodes}"
        text = f"echo runs > {urgent}.log"
        sbatch(cluster, folder, urgent.name, text, "-p", "high", "--nodelist=node2", whole)
        wait_for_file(f"{urgent}.log")
    result = {}
    for name, log in logs.items():
        wait_until(lambda log=log: "1 start" in log.read_text(), what=f"the second start: {name}")
        result[name] = log.read_text().splitlines(), record(name)
    result["killed"][1]["killed"] = node
    slurm_session.clear()
    return result


def test_a_job_runs_and_its_output_is_there(slurm, tmp_path):
    job = submit(tmp_path, "echo hello from $SLURMD_NODENAME", f"--output={tmp_path}/out")
    assert wait_for_file(tmp_path / "out").startswith("hello from node")
    wait_until(lambda: not squeue(), what="the end of the job")
    assert job_record(job)["JobState"] == "COMPLETED"


def test_jobs_get_gpus_of_their_own(slurm, tmp_path):
    for i in (0, 1):
        text = f'echo "$CUDA_VISIBLE_DEVICES" > {tmp_path}/{i}; sleep 60'
        submit(tmp_path, text, "--gpus=1", "--nodelist=node2")
    assert {wait_for_file(tmp_path / str(i)).strip() for i in (0, 1)} == {"0", "1"}
    submit(tmp_path, f'echo "$CUDA_VISIBLE_DEVICES" > {tmp_path}/both', "--gres=gpu:2")
    assert wait_for_file(tmp_path / "both") == "0,1\n"


def test_an_array_runs_within_its_throttle(slurm, tmp_path):
    # The first two wait for each other.
    text = f"""cd {tmp_path}
        mkdir running.$SLURM_ARRAY_TASK_ID
        until [ $SLURM_ARRAY_TASK_ID -gt 1 -o -e both ]; do
            [ -e running.0 -a -e running.1 ] && touch both
            sleep 0.05
        done
        ls -d running.* | wc -l > count.$SLURM_ARRAY_TASK_ID
        sleep 0.2; rmdir running.$SLURM_ARRAY_TASK_ID"""
    job = submit(tmp_path, text, "--array=0-5%2")
    assert set(squeue()) <= {f"{job}_{i}" for i in range(6)}
    wait_until(lambda: not squeue(), what="the end of the array")
    counts = [int((tmp_path / f"count.{i}").read_text()) for i in range(6)]
    assert max(counts) == 2


def test_a_requeued_job_starts_again_and_knows_it(disturbed):
    lines, record = disturbed["requeued"]
    assert lines == ["0 start", "0 SIGTERM", "1 start"]
    assert record["Restarts"] == "1"


def test_preemption_tells_the_batch_process_which_requeues_itself(disturbed):
    lines, record = disturbed["warned"]
    assert lines == ["0 start", "0 SIGUSR2", "1 start"]
    assert record["Restarts"] == "1"


def test_preemption_without_grace_ends_a_job_by_sigterm_and_requeues_it(disturbed):
    lines, record = disturbed["preempted"]
    assert lines == ["0 start", "0 SIGTERM", "1 start"]
    assert record["Restarts"] == "1"


def test_the_job_of_a_killed_node_goes_on_elsewhere(disturbed, slurm):
    lines, record = disturbed["killed"]
    assert lines == ["0 start", "1 start"]
    assert record["Restarts"] == "1"
    assert record["NodeList"] != record["killed"]
    assert set(slurm.node_states().values()) == {"idle"}  # clear has brought it back


def test_jobs_outlive_a_restart_of_the_controller(slurm, tmp_path):
    running = submit(tmp_path, f"echo >> {tmp_path}/starts; sleep 60", "--exclusive")
    waiting = submit(tmp_path, "true", "--hold")
    wait_for_file(tmp_path / "starts")
    slurm.restart_controller()
    assert squeue() == {str(running): "RUNNING", str(waiting): "PENDING"}
    assert (tmp_path / "starts").read_text() == "\n"


def test_clear_leaves_no_process_of_a_job(slurm, tmp_path):
    text = f"""trap '' TERM
        setsid sleep 300 & echo $! > {tmp_path}/pid
        sleep 300"""
    submit(tmp_path, text)
    pid = int(wait_for_file(tmp_path / "pid"))
    assert processes.is_alive(pid)
    slurm.clear()
    assert squeue() == {}
    assert not processes.is_alive(pid)


def test_accounting_knows_ended_jobs(slurm_accounting, tmp_path):
    job = submit(tmp_path, "exit 3")

    def state():
        return run("sacct", "--noheader", "--allocations", f"--jobs={job}", "--format=state,exit")

    wait_until(lambda: "FAILED" in state(), what="the job in sacct")
    assert state().split() == ["FAILED", "3:0"]


def test_without_accounting_sacct_refuses(slurm):
    assert "disabled" in subprocess.run(["sacct"], capture_output=True, text=True).stderr


def test_a_job_above_its_memory_is_killed(own_cluster, tmp_path):
    cluster = own_cluster(memory_limits=True)
    text = f"exec {sys.executable} -c 'b = bytearray(200 << 20); import time; time.sleep(60)'"
    job = sbatch(cluster, tmp_path, "large", text, "--mem=50")

    def record():
        return cluster.run("scontrol", "show", "job", job)

    # As Slurm says it without cgroups; its word for them is OUT_OF_MEMORY.
    wait_until(lambda: "JobState=FAILED" in record(), what="the end of the job")
    assert "ExitCode=0:9" in record()


def test_the_command_starts_and_stops_and_leaves_nothing(slurm_session, tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm") / "c"
    cluster = SlurmCluster(folder, ClusterOptions(nodes=2))

    def command(*arguments):
        arguments = [*COMMAND, *arguments, "--dir", str(folder)]
        return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout

    try:
        command("start", "--nodes=2")
        before = belonging_to(cluster)
        command("start", "--nodes=2")
        assert belonging_to(cluster) == before
        environment = command("env")
        assert f"export SLURM_CONF={cluster.conf}" in environment
        job = f"""{environment}
            sbatch --output=/dev/null --wrap 'setsid sleep 300 & echo > {folder}/began; sleep 300'
            """
        subprocess.run(["sh", "-c", job], check=True, capture_output=True)
        wait_for_file(folder / "began")
        assert "slurmctld" in command("status")
        pids = belonging_to(cluster)
        assert len(pids) >= len(before) + 3  # slurmstepd, the script and its two children
    finally:
        command("stop", "--wipe")
    assert not any(map(processes.is_alive, pids))
    assert not folder.exists()
    command("stop", "--wipe")  # again: nothing to do


def test_a_stopped_cluster_goes_on_with_its_queue(own_cluster, tmp_path):
    cluster = own_cluster()
    job = sbatch(cluster, tmp_path, "job", f"echo > {tmp_path}/began; sleep 300")
    wait_for_file(tmp_path / "began")
    cluster.stop()
    assert belonging_to(cluster) == []
    cluster.start()
    record = cluster.run("scontrol", "show", "job", job)
    # Under way again where it took seconds to look.
    assert "JobState=PENDING" in record or "JobState=RUNNING" in record
    assert "Restarts=1" in record


def test_a_crashed_cluster_can_be_started_and_stopped(own_cluster):
    cluster = own_cluster()
    processes.end(processes.daemons(cluster.folder, "slurmctld."))
    assert not cluster.is_running()
    cluster.start()
    assert cluster.node_states() == {"node1": "idle"}
    processes.end(processes.daemons(cluster.folder))
    cluster.stop(wipe=True)
    assert not cluster.folder.exists()


def test_a_cluster_ends_with_the_process_that_started_it(slurm_session, tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm") / "c"
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}; import slurm_cluster as s, time; "
        f"s.SlurmCluster({str(folder)!r}, s.ClusterOptions(nodes=1)).start(stop_with_parent=True); "
        "print('started', flush=True); time.sleep(300)"
    )
    cluster = SlurmCluster(folder)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"started\n"
            assert cluster.is_running()
            process.kill()
            wait_until(lambda: not folder.exists(), what="the end of the cluster")
            assert belonging_to(cluster) == []
        finally:
            process.kill()
            cluster.stop(wipe=True)


def test_a_start_that_fails_says_why_and_leaves_nothing(slurm_session, tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    cluster = SlurmCluster(folder, ClusterOptions(settings={"SelectType": "select/nonsense"}))
    with pytest.raises(ClusterError, match=r"ended at its start(?s:.*)select/nonsense"):
        cluster.start()
    assert belonging_to(cluster) == []


def test_a_running_cluster_keeps_its_options(slurm_session):
    other = SlurmCluster(slurm_session.folder, ClusterOptions(nodes=7))
    with pytest.raises(ConfigError, match="runs with other options"):
        other.start()
    assert len(slurm_session.node_states()) == 4


@pytest.mark.parametrize(("name", "what"), [("x" * 80, "too long"), ("a b", "' ' in its name")])
def test_folders_that_slurm_cannot_use_are_refused(slurm_session, name, what):
    with tempfile.TemporaryDirectory() as folder:
        with pytest.raises(ConfigError, match=what):
            SlurmCluster(Path(folder) / name).start()
        assert not (Path(folder) / name).exists()


def test_a_machine_without_slurm_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "find_program", lambda name: None)
    with pytest.raises(ConfigError, match=r"sbatch, .* not found.*install_slurm\.sh"):
        SlurmCluster(tmp_path / "c").start()
    assert not (tmp_path / "c").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="the whole file runs as an ordinary user already")
def test_an_ordinary_user_can_have_a_cluster(slurm_session):
    user = pwd.getpwnam("slurm")  # the package's
    folder = Path(tempfile.mkdtemp(prefix="slurm"))
    os.chown(folder, user.pw_uid, user.pw_gid)
    process = multiprocessing.get_context("fork").Process(target=_run_a_job_as, args=(user, folder))
    try:
        process.start()
        process.join(600)
        assert process.exitcode == 0
        assert (folder / "out").read_text() == "slurm\n"
        assert not (folder / "c").exists()
    finally:
        process.kill()
        SlurmCluster(folder / "c").stop(wipe=True)
        shutil.rmtree(folder)


def _run_a_job_as(user, folder):
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os.chdir(folder)
    cluster = SlurmCluster(folder / "c", ClusterOptions(nodes=1))
    cluster.start()
    cluster.run("sbatch", "--wait", f"--output={folder}/out", "--wrap=id -un")
    cluster.stop(wipe=True)


def test_clusters_side_by_side_do_not_see_each_other(slurm, second, tmp_path):
    submit(tmp_path, "sleep 60", "--job-name=mine")
    assert run("squeue", "--noheader", "--format=%j") == "mine"
    names = second.run("squeue", "--noheader", "--format=%j").split()
    assert "timed" in names
    assert "mine" not in names


def test_the_time_limit_is_announced_to_the_batch_process(slurm, timed_job_log):
    # The second run may have been told too.
    wait_until(lambda: "1 start" in timed_job_log.read_text(), what="the second start")
    assert timed_job_log.read_text().splitlines()[:3] == ["0 start", "0 SIGUSR2", "1 start"]
