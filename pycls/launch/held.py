"""The release of jobs that faults of nodes or storage have put off, or had held."""

from pycls.launch.ledger import Ledger
from pycls.launch.live_jobs import find_live_jobs
from pycls.slurm.client import Slurm
from pycls.slurm.options import LaunchOptions


def release_held(ledger: Ledger, slurm: Slurm, *, forget_nodes: bool = False) -> int:
    """Let jobs start at once that wait since a fault, on any node where most starts had failed.

    Args:
        ledger: of the launch.
        slurm: Slurm.
        forget_nodes: use nodes again that were found unfit, whether jobs wait for that or not.

    Returns:
        How many jobs were released.
    """
    with ledger.lock():
        live = find_live_jobs(ledger, slurm.jobs())
        waiting = [job for job in live if job.queued.fault and job.queued.state != "RUNNING"]
        held = [job for job in waiting if job.queued.is_held]
        if forget_nodes or held:
            ledger.forget_faults()
        of_arrays = {job.submission.number: job.submission for job in live if forget_nodes or held}
        of_arrays |= {job.submission.number: job.submission for job in waiting}
        for submission in of_arrays.values():
            if submission.job_id is not None:
                options = LaunchOptions.from_dict(submission.plan["options"])
                nodes = [str(options.sbatch.get("exclude", "")), *sorted(ledger.bad_nodes())]
                slurm.release(
                    submission.job_id,
                    Comment=options.comment or "-",
                    ExcNodeList=",".join(filter(None, nodes)),
                )
        return len(waiting)
