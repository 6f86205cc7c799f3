"""The daemons of one cluster: their configuration, starting each, and ending them all."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from pycls import files
from pycls.errors import PyclsError
from slurm_cluster import processes, settings
from slurm_cluster.settings import ClusterOptions, find_program

# Ended in this order, so that the controller does not see its nodes go.
_END_ORDER = ("slurmctld", "slurmd", "slurmstepd", "slurmdbd", "mariadbd", "munged")
_FOLDERS = ("state", "spool", "log", "run", "gpu")
_START_S = 300  # a busy machine takes longer than the second or two of an idle one
_LOOK_S = 0.1  # most looks start a command, which takes its time from the daemon
# Nobody needs this database after a power cut.
_UNSAFE_BUT_QUICK = (
    "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M", "--innodb-doublewrite=0",
    "--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=0",
)  # fmt: skip
# Variables by which a shell, or a job that we run in, changes what Slurm's commands do.
_SLURM_VARIABLES = re.compile(r"(SLURM|SBATCH|SRUN|SALLOC|SQUEUE|SINFO|SCANCEL|SACCT)[A-Z]*_")


class ClusterError(PyclsError):
    """A cluster that does not start, stop or do what was asked."""


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what concerns another cluster or job."""
    return {key: value for key, value in os.environ.items() if not _SLURM_VARIABLES.match(key)}


class Daemons:
    """Starts and ends the daemons of the cluster in one folder.

    Args:
        folder: the cluster's, an absolute path.
        options: what the cluster looks like.
    """

    def __init__(self, folder: Path, options: ClusterOptions) -> None:
        self._folder = folder
        self._options = options
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {
            "SLURM_CONF": str(folder / "slurm.conf"),
            # Where slurmdbd's client library looks for "localhost".
            "MYSQL_UNIX_PORT": str(folder / "run/mariadb.socket"),
        }

    def configure(self) -> None:
        """Make the folders and write the configuration, with free ports."""
        folder, options = self._folder, self._options
        for name in (*_FOLDERS, *(f"spool/{node}" for node in options.node_names)):
            (folder / name).mkdir(exist_ok=True)
        for number in range(options.gpus):
            link = folder / f"gpu/gpu{number}"
            if not link.is_symlink():
                link.symlink_to("/dev/null")
        record = folder / "cluster.json"
        earlier = json.loads(record.read_text())["ports"] if record.exists() else {}
        ports = settings.choose_ports(["slurmctld", "slurmdbd", *options.node_names], earlier)
        files.write_text(folder / "slurm.conf", settings.slurm_conf(folder, options, ports))
        files.write_text(folder / "gres.conf", settings.gres_conf(folder, options))
        files.write_text(folder / "plugstack.conf", "")
        if options.accounting:
            conf = folder / "slurmdbd.conf"
            files.write_text(conf, settings.slurmdbd_conf(folder, ports))
            conf.chmod(0o600)
        files.write_json(record, {"options": options.to_dict(), "ports": ports})

    def start_munge(self) -> None:
        """Start munged with a key of its own."""
        run = self._folder / "run"
        key = run / "munge.key"
        if not key.exists():
            files.write_bytes(key, os.urandom(128))
            key.chmod(0o600)
        # --force: temporary folders are closed to others, which munged takes for a mistake.
        self._start(
            "munged", "--foreground", "--force", f"--key-file={key}",
            f"--socket={run}/munge.socket", f"--pid-file={run}/munged.pid",
            f"--log-file={self._folder}/log/munged.log", f"--seed-file={run}/munge.seed",
        )  # fmt: skip
        self._await_answer("munged", "munge", "--no-input", f"--socket={run}/munge.socket")

    def start_accounting(self) -> None:
        """Start MariaDB, which listens on a socket only, and slurmdbd."""
        folder, user = self._folder, settings.user_name()
        data, where = folder / "database", f"--socket={folder}/run/mariadb.socket"
        if not (data / "mysql").exists():
            self._run_once(
                "mariadb-install-db", "--no-defaults", f"--datadir={data}", f"--user={user}",
                "--auth-root-authentication-method=socket", f"--auth-root-socket-user={user}",
                "--skip-test-db", *_UNSAFE_BUT_QUICK,
            )  # fmt: skip
        self._start(
            "mariadbd", "--no-defaults", f"--datadir={data}", where, f"--user={user}",
            "--skip-networking", f"--pid-file={folder}/run/mariadbd.pid",
            "--innodb-lock-wait-timeout=900", *_UNSAFE_BUT_QUICK,
        )  # fmt: skip
        self._await_answer("mariadbd", "mariadb", "--no-defaults", where, "--execute=select 1")
        self._start("slurmdbd", "-D")
        self._await_answer("slurmdbd", "sacctmgr", "--noheader", "show", "cluster")

    def start_controller(self) -> None:
        """Start slurmctld."""
        self._start("slurmctld", "-D")
        self._await_answer("slurmctld", "scontrol", "ping")

    def start_node(self, node: str) -> None:
        """Start the slurmd of a node; it is there when `sinfo` says so."""
        self._start("slurmd", "-D", "-N", node, name=node)

    def end_all(self) -> None:
        """End the daemons, with time for each to save its state, and all jobs."""
        for program in _END_ORDER:
            found = processes.daemons(self._folder)
            # Steps get no time: they would give it to their jobs.
            grace_s = 0 if program in ("slurmd", "slurmstepd") else 120
            processes.end([pid for pid, name in found.items() if name == program], grace_s)
            if program == "slurmstepd":
                processes.end(processes.job_processes(self._folder / "slurm.conf"))
        self.reap()

    def reap(self) -> None:
        """Collect the exit status of those daemons that this process started and that ended."""
        for name, child in list(self._children.items()):
            if child.poll() is not None:
                del self._children[name]

    def run(self, *command: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a program in the environment of the cluster."""
        return subprocess.run(
            [find_program(command[0]) or command[0], *command[1:]],
            env=clean_environment() | self.environment | {"LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s,
        )  # fmt: skip

    def answers(self, *command: str) -> bool:
        """Say whether a program succeeds within a minute."""
        try:
            return self.run(*command, timeout_s=60).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def await_(self, names: Sequence[str], condition: Callable[[], bool]) -> None:
        """Wait until a condition holds that depends on some daemons.

        Raises:
            ClusterError: one of them has ended, or it takes too long; with the end of its log.
        """

        def ended() -> str | None:
            children = {name: self._children.get(name) for name in names}
            return next((n for n, c in children.items() if c and c.poll() is not None), None)

        in_time = processes.wait(lambda: ended() is not None or condition(), _START_S, _LOOK_S)
        if name := ended():
            raise ClusterError(f"{name} ended at its start; its log says:\n{self._tail(name)}")
        if not in_time:
            raise ClusterError(
                f"{', '.join(names)}: not ready after {_START_S} s; the logs in "
                f"{self._folder}/log may say why:\n{self._tail(names[0])}"
            )

    def _start(self, program: str, *arguments: str, name: str | None = None) -> None:
        name = name or program
        self._children[name] = processes.start_daemon(
            [find_program(program) or program, *arguments],
            self._folder / f"log/{name}.out",
            clean_environment() | self.environment,
            self._folder,
        )

    def _await_answer(self, name: str, *command: str) -> None:
        self.await_([name], lambda: self.answers(*command))

    def _run_once(self, *command: str) -> None:
        result = self.run(*command)
        if result.returncode:
            raise ClusterError(f"{command[0]} failed:\n{result.stdout}{result.stderr}")

    def _tail(self, name: str) -> str:
        """Return the end of a daemon's log, or of what it printed where it got no further."""
        for suffix in ("log", "out"):
            path = self._folder / f"log/{name}.{suffix}"
            lines = path.read_text(errors="replace").splitlines() if path.exists() else []
            if lines:
                return "\n".join(f"    {line}" for line in lines[-15:])
        return "    (nothing)"
