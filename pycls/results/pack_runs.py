"""The packing of finished runs, whose small files would be many."""

from collections.abc import Iterable
from pathlib import Path

from pycls.core.runs.lease import find_owner
from pycls.core.runs.packed import begun_in, pack
from pycls.core.runs.record import read_outline
from pycls.results.run_states import find_state

# Runs of an archive: so many are packed again where a kill ends it before the archive is whole.
_RUNS_OF_ARCHIVE = 500


def pack_runs(out_dirs: Iterable[Path]) -> tuple[int, int]:
    """Pack the small files of runs that are done; those that are not stay as they are.

    What was interrupted goes on with the same call. Jobs may be at other runs meanwhile.

    Args:
        out_dirs: the folders of runs, for who sees to it that no run is begun anew.

    Returns:
        How many were packed, and how many are done.

    Raises:
        OSError: the storage failed; nothing is lost.
    """
    by_folder: dict[Path, list[Path]] = {}
    for out_dir in out_dirs:
        by_folder.setdefault(out_dir.parent, []).append(out_dir)
    packed = done = 0
    for folder, runs in by_folder.items():
        begun = begun_in(folder)
        found = [run for run in runs if run.name in begun and _is_done(run)]
        done += len(found)
        for i in range(0, len(found), _RUNS_OF_ARCHIVE):
            packed += pack(found[i : i + _RUNS_OF_ARCHIVE])
    return packed, done


def _is_done(out_dir: Path) -> bool:
    record = read_outline(out_dir)
    # One that is done and still has its lease is about to leave.
    is_done = record is not None and find_state(out_dir, record).state == "done"
    return is_done and find_owner(out_dir) is None
