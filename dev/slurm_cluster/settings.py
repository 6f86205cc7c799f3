"""What a cluster looks like: its options, its ports and Slurm's configuration files."""

import os
import pwd
import random
import shutil
import socket
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pycls.errors import ConfigError

# Socket names end in spool/node12/node12_1234567.4294967291; the kernel takes 107 characters.
_LONGEST_FOLDER = 60
_PORTS = range(20000, 32000)  # below those that the system gives to outgoing connections

PARTITIONS = {
    "debug": "Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=10",
    "high": "PriorityTier=10 PreemptMode=OFF",
    "short": "MaxTime=2 PriorityTier=1 PreemptMode=REQUEUE GraceTime=10",
}


@dataclass(frozen=True)
class ClusterOptions:
    """What can be chosen about a cluster.

    Attributes:
        nodes: fake nodes, node1 to nodeN, all of them this machine.
        cpus: CPUs that each node claims to have; the machine need not have them.
        gpus: fake GPUs of each node (symbolic links to /dev/null).
        gpu_type: their type, for `--gres=gpu:TYPE:1`, and the nodes' feature, for
            `--constraint=TYPE`; "": none.
        memory_mb: memory that each node claims to have, in MB.
        accounting: with slurmdbd and MariaDB, so that `sacct` answers.
        memory_limits: memory is shared out and a job that uses more than it asked for is killed.
        settings: further keys of slurm.conf, also in place of ours.
        partitions: {name: "KEY=VALUE ..."}, further ones or other settings of ours (debug,
            the default; high, which preempts; short, with a time limit of 2 minutes).
    """

    nodes: int = 4
    cpus: int = 4
    gpus: int = 2
    gpu_type: str = ""
    memory_mb: int = 4000
    accounting: bool = False
    memory_limits: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    partitions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in {"nodes": 1, "cpus": 1, "gpus": 0, "memory_mb": 1}.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be {least} or more")

    @property
    def node_names(self) -> list[str]:
        """The names of the nodes."""
        return [f"node{number}" for number in range(1, self.nodes + 1)]

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON can hold them."""
        return asdict(self)


def missing_programs(accounting: bool = False) -> list[str]:
    """Return the programs that a cluster needs and this machine has not."""
    names = ["sbatch", "slurmctld", "slurmd", "munged"]
    if accounting:
        names += ["slurmdbd", "sacctmgr", "mariadbd", "mariadb-install-db"]
    return [name for name in names if find_program(name) is None]


def find_program(name: str) -> str | None:
    """Return the path of a program; daemons are not always on an ordinary user's PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")


def user_name() -> str:
    """Return the name of the user whom the daemons run as, which is who starts them.

    Raises:
        ConfigError: there is no name; Slurm needs one.
    """
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise ConfigError(
            f"user number {os.getuid()} has no name on this machine, and Slurm needs one; "
            "start the cluster as a user in /etc/passwd"
        ) from None


def check_folder(folder: Path) -> None:
    """Refuse a folder whose name Slurm cannot use.

    Raises:
        ConfigError: it is too long for sockets in it, or has characters special to Slurm.
    """
    if len(os.fsencode(folder)) > _LONGEST_FOLDER:
        raise ConfigError(
            f"the cluster's folder {folder} has a name of more than {_LONGEST_FOLDER} "
            "characters, too long for the sockets in it; choose another one (--dir)"
        )
    special = sorted(set(str(folder)) & set(" \t\n%#\\=,[]\"'"))
    if special:
        raise ConfigError(
            f"the cluster's folder {folder} has {' '.join(map(repr, special))} in its name, "
            "which Slurm's configuration cannot hold; choose another one (--dir)"
        )


def choose_ports(names: Iterable[str], earlier: Mapping[str, int]) -> dict[str, int]:
    """Return {name: port} with the ports of last time where they are free, else other free ones."""
    chosen: dict[str, int] = {}
    for name in names:
        candidates = [earlier[name]] if name in earlier else []
        candidates += random.sample(_PORTS, 200)
        for port in candidates:
            if port not in chosen.values() and _is_free(port):
                chosen[name] = port
                break
        else:
            raise ConfigError(f"no free port between {_PORTS.start} and {_PORTS.stop}")
    return chosen


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def slurm_conf(folder: Path, options: ClusterOptions, ports: Mapping[str, int]) -> str:
    """Return the text of slurm.conf.

    Every daemon listens on 127.0.0.1 only. Scheduling is as quick as Slurm allows, and
    credentials expire at once: a requeued job waits for that before it starts again.
    """
    user = user_name()
    settings = {
        "ClusterName": "pycls",
        "SlurmctldHost": "localhost(127.0.0.1)",
        "SlurmctldPort": ports["slurmctld"],
        "SlurmUser": user,
        "SlurmdUser": user,
        "AuthType": "auth/munge",
        "CredType": "cred/munge",
        "AuthInfo": f"socket={folder}/run/munge.socket,cred_expire=5",
        "CommunicationParameters": "NoCtldInAddrAny,NoInAddrAny",
        "StateSaveLocation": folder / "state",
        "SlurmdSpoolDir": f"{folder}/spool/%n",
        "SlurmctldPidFile": folder / "run/slurmctld.pid",
        "SlurmdPidFile": f"{folder}/run/%n.pid",
        "SlurmctldLogFile": folder / "log/slurmctld.log",
        "SlurmdLogFile": f"{folder}/log/%n.log",
        "PlugStackConfig": folder / "plugstack.conf",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "MpiDefault": "none",
        "MailProg": "/bin/true",
        "JobAcctGatherType": "jobacct_gather/linux",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core",
        "SchedulerType": "sched/backfill",
        "SchedulerParameters": "batch_sched_delay=0,sched_interval=1,bf_interval=1,"
        "sched_min_interval=0",
        "PreemptType": "preempt/partition_prio",
        "PreemptMode": "REQUEUE",
        "SlurmctldParameters": "preempt_send_user_signal",
        "SlurmdParameters": "config_overrides",
        "JobRequeue": 1,
        "KillWait": 5,
        "ReturnToService": 2,
        "SlurmdTimeout": 30,
        "MessageTimeout": 30,
        "GresTypes": "gpu",
    }
    if options.accounting:
        settings |= {
            "AccountingStorageType": "accounting_storage/slurmdbd",
            "AccountingStorageHost": "localhost",
            "AccountingStoragePort": ports["slurmdbd"],
            "AccountingStoragePass": folder / "run/munge.socket",
            "AccountingStorageTRES": "gres/gpu",
        }
    else:
        settings |= {"AccountingStorageType": "accounting_storage/none", "MinJobAge": 3600}
    if options.memory_limits:
        settings |= {
            "SelectTypeParameters": "CR_Core_Memory",
            "JobAcctGatherParams": "OverMemoryKill",
            "JobAcctGatherFrequency": "task=1",
            "DefMemPerCPU": max(1, options.memory_mb // options.cpus),
        }
    given = {key.lower() for key in options.settings}
    settings = {key: value for key, value in settings.items() if key.lower() not in given}
    lines = [f"{key}={value}" for key, value in {**settings, **options.settings}.items()]
    lines += [_node_line(name, options, ports[name]) for name in options.node_names]
    for name, text in {**PARTITIONS, **options.partitions}.items():
        lines.append(f"PartitionName={name} Nodes=ALL State=UP {text}")
    return "\n".join(lines) + "\n"


def _node_line(name: str, options: ClusterOptions, port: int) -> str:
    line = f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port}"
    line += f" CPUs={options.cpus} RealMemory={options.memory_mb} State=UNKNOWN"
    if options.gpus:
        line += f" Gres=gpu:{_gpu_type(options)}{options.gpus}"
    return line + (f" Feature={options.gpu_type}" if options.gpu_type else "")


def _gpu_type(options: ClusterOptions) -> str:
    return f"{options.gpu_type}:" if options.gpu_type else ""


def gres_conf(folder: Path, options: ClusterOptions) -> str:
    """Return the text of gres.conf."""
    if not options.gpus:
        return ""
    kind = f" Type={options.gpu_type}" if options.gpu_type else ""
    files = f"{folder}/gpu/gpu[0-{options.gpus - 1}]" if options.gpus > 1 else f"{folder}/gpu/gpu0"
    return "".join(f"NodeName={name} Name=gpu{kind} File={files}\n" for name in options.node_names)


def slurmdbd_conf(folder: Path, ports: Mapping[str, int]) -> str:
    """Return the text of slurmdbd.conf; slurmdbd wants it readable by its user alone."""
    user = user_name()
    settings = {
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={folder}/run/munge.socket",
        "DbdHost": "localhost",
        "DbdAddr": "127.0.0.1",
        "DbdPort": ports["slurmdbd"],
        "CommunicationParameters": "NoCtldInAddrAny,NoInAddrAny",
        "SlurmUser": user,
        "StorageType": "accounting_storage/mysql",
        "StorageHost": "localhost",
        "StorageUser": user,
        "StorageLoc": "slurm_acct_db",
        "LogFile": folder / "log/slurmdbd.log",
        "PidFile": folder / "run/slurmdbd.pid",
    }
    return "".join(f"{key}={value}\n" for key, value in settings.items())
