"""Starting, stopping and disturbing one cluster, all of it below one folder."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pycls import files
from pycls.errors import ConfigError
from slurm_cluster import processes, settings
from slurm_cluster.daemons import ClusterError, Daemons
from slurm_cluster.settings import ClusterOptions

_UP = ("idle", "mixed", "allocated", "completing")


class SlurmCluster:
    """A real Slurm below one folder; several can run beside each other.

    Attributes:
        folder: holds configuration, state, logs, sockets and the database.
        options: what the cluster looks like.
        conf: its slurm.conf, for the environment variable SLURM_CONF.
    """

    def __init__(
        self, folder: str | os.PathLike[str], options: ClusterOptions | None = None
    ) -> None:
        self.folder = Path(folder).resolve()
        self.options = options or ClusterOptions()
        self.conf = self.folder / "slurm.conf"
        self._daemons = Daemons(self.folder, self.options)
        self._guard: subprocess.Popen[bytes] | None = None

    @classmethod
    def at(cls, folder: str | os.PathLike[str]) -> "SlurmCluster":
        """Return the cluster that was started in a folder, with its options.

        Raises:
            ConfigError: none was.
        """
        record = Path(folder).resolve() / "cluster.json"
        if not record.exists():
            raise ConfigError(f"no cluster in {folder}; 'start' makes one")
        return cls(folder, ClusterOptions(**json.loads(record.read_text())["options"]))

    def environment(self) -> dict[str, str]:
        """Return the variables with which Slurm's commands speak to this cluster."""
        return {"SLURM_CONF": str(self.conf)}

    def logs(self) -> dict[str, Path]:
        """Return {daemon or node: its log file}, of those that there are."""
        return {path.stem: path for path in sorted((self.folder / "log").glob("*.log"))}

    def run(self, *command: str, timeout_s: float = 300) -> str:
        """Run one of Slurm's commands on this cluster and return what it prints.

        Raises:
            ClusterError: it failed; the message is Slurm's.
        """
        result = self._daemons.run(*command, timeout_s=timeout_s)
        if result.returncode:
            raise ClusterError(f"{' '.join(command)}: {result.stderr.strip()}")
        return result.stdout

    def is_running(self) -> bool:
        """Say whether the controller answers."""
        running = processes.daemons(self.folder, "slurmctld.")
        return bool(running) and self._daemons.answers("scontrol", "ping")

    def node_states(self) -> dict[str, str]:
        """Return {node: state} as `sinfo` says ("idle", "mixed", "down*", ...)."""
        result = self._daemons.run("sinfo", "--noheader", "--Node", "--format=%N %T")
        return dict(line.split() for line in result.stdout.splitlines())

    def start(self, stop_with_parent: bool = False) -> None:
        """Start the cluster and wait until all nodes are there.

        A cluster that was stopped goes on with the queue it had; what was running then is
        requeued. Where it runs already, only nodes that are down are brought back.

        Args:
            stop_with_parent: the cluster ends, and its folder goes, when this process is gone,
                however it ended.

        Raises:
            ConfigError: a program is missing, the folder's name cannot be used, or it runs
                with other options.
            ClusterError: a daemon did not start; the end of its log is in the message.
        """
        missing = settings.missing_programs(self.options.accounting)
        if missing:
            raise ConfigError(
                f"Slurm is not installed here ({', '.join(missing)} not found); "
                "on Debian and Ubuntu dev/install_slurm.sh installs it"
            )
        settings.check_folder(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock():
            if self.is_running():
                self._repair()
            else:
                self._daemons.end_all()
                try:
                    self._start_all()
                except BaseException:
                    self._daemons.end_all()
                    raise
        if stop_with_parent:
            self._start_guard()

    def _start_all(self) -> None:
        self._daemons.configure()
        self._daemons.start_munge()
        if self.options.accounting:
            self._daemons.start_accounting()
        has_queue = (self.folder / "state/job_state").exists()
        self._daemons.start_controller()
        if has_queue:
            # Else Slurm takes up to minutes to find that what ran at the stop runs no longer.
            for node in self.options.node_names:
                self.node_down(node)
        for node in self.options.node_names:
            self._daemons.start_node(node)
        nodes = self.options.node_names
        self._daemons.await_(["slurmctld", *nodes], lambda: not self._nodes_down())

    def _repair(self) -> None:
        if SlurmCluster.at(self.folder).options != self.options:
            raise ConfigError(
                f"the cluster in {self.folder} runs with other options; stop it first, "
                "or choose another folder (--dir)"
            )
        for node in self._nodes_down():
            self.node_up(node)

    def _nodes_down(self) -> list[str]:
        states = self.node_states()
        return [node for node in self.options.node_names if states.get(node) not in _UP]

    def stop(self, wipe: bool = False) -> None:
        """End every process of the cluster, running jobs included, at once.

        It also works after a crash, and from another process than the one that started it.

        Args:
            wipe: remove the folder too.

        Raises:
            ClusterError: a process is still there after all.
        """
        if not self.folder.exists():
            return
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None
        with self._lock():
            self._daemons.end_all()
            left = processes.daemons(self.folder)
            if left:
                raise ClusterError(f"these processes do not end: {left}")
            if wipe:
                shutil.rmtree(self.folder)

    def kill_node(self, node: str) -> None:
        """Kill a node as a power cut does: its slurmd, and all that it runs.

        The controller finds out by itself after SlurmdTimeout; :meth:`node_down` tells it.
        """
        self._check_node(node)
        processes.end(processes.daemons(self.folder, f"{node}."))
        processes.end(processes.job_processes(self.conf, node))
        self._daemons.reap()

    def node_down(self, node: str) -> None:
        """Tell the controller that a node is down: what ran there is requeued."""
        self._check_node(node)
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")

    def node_up(self, node: str) -> None:
        """Bring a node back, from `kill_node` and from `node_down`, and wait until it is up."""
        self._check_node(node)
        if "slurmd" not in processes.daemons(self.folder, f"{node}.").values():
            self._daemons.start_node(node)
        self._daemons.await_([node], lambda: self._resume(node))

    def _resume(self, node: str) -> bool:
        if self.node_states().get(node) in _UP:
            return True
        # Refused where the node came back by itself in the same moment: no matter.
        self._daemons.run("scontrol", "update", f"nodename={node}", "state=resume")
        return False

    def restart_controller(self) -> None:
        """Stop slurmctld and start it again; jobs go on meanwhile."""
        processes.end(processes.daemons(self.folder, "slurmctld."), grace_s=120)
        self._daemons.reap()
        self._daemons.start_controller()

    def clear(self) -> None:
        """Cancel all jobs, kill whatever they left running, and bring every node back."""

        def is_empty() -> bool:
            if self.run("squeue", "--noheader"):
                self._daemons.run("scancel", f"--user={settings.user_name()}")
            # What a cancelled job does in its last seconds is of no interest, and a process
            # that its job left behind is nobody else's.
            processes.end(processes.job_processes(self.conf))
            return not self.run("squeue", "--noheader")

        if not processes.wait(is_empty, 300, pause_s=0.1):
            raise ClusterError(f"jobs do not end:\n{self.run('squeue')}")
        for node in self._nodes_down():
            self.node_up(node)

    def _check_node(self, node: str) -> None:
        if node not in self.options.node_names:
            raise ConfigError(f"no node {node}; there are {', '.join(self.options.node_names)}")

    def _start_guard(self) -> None:
        """Start a process that waits for the end of this one, then stops the cluster."""
        self._guard = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent), "stop", "--wipe",
             "--when-input-ends", "--dir", str(self.folder)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    @contextmanager
    def _lock(self) -> Iterator[None]:
        purpose = f"starting or stopping the cluster in {self.folder}"
        with files.exclusive_lock(self.folder / "lock", purpose, wait_s=600):
            yield
