"""Slurm's commands as far as a launch asks for them, where what it makes of the answers counts."""

from pathlib import Path

SCRIPTS = {
    "scontrol": """case "$1 $2" in
  ping*) echo 'Slurmctld(primary) at here is UP' ;;
  *) echo 'PartitionName=debug Default=YES MaxTime=UNLIMITED State=UP' ;;
esac""",
    "squeue": "cat '{folder}/queue'",
    "sacct": "exit 1",
    "scancel": ":",
    # Of so many calls as `refusals` says nothing comes; then numbers from 101 on.
    "sbatch": """echo "$@" >> '{folder}/calls'
n=$(wc -l < '{folder}/calls')
left=$(cat '{folder}/refusals')
if [ "$left" -gt 0 ]; then
  echo $((left - 1)) > '{folder}/refusals'
  echo 'sbatch: error: Batch job submission failed: Connection refused' >&2; exit 1
fi
echo $((100 + n))""",
}


def install(folder: Path, monkeypatch, refusals: int = 0) -> Path:
    """Put stand-ins on the PATH; return the folder with their `queue` and `refusals`."""
    folder.mkdir()
    (folder / "queue").touch()
    (folder / "calls").touch()
    (folder / "refusals").write_text(f"{refusals}\n")
    for name, text in SCRIPTS.items():
        (folder / name).write_text(f"#!/bin/sh\n{text.replace('{folder}', str(folder))}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder
