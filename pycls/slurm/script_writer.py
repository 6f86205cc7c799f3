"""The script writer of submitit alone: it needs no Slurm, writes no files, submits nothing."""

import submitit


class ScriptWriter(submitit.SlurmExecutor):
    """Holds the parameters of a batch script and makes its text."""

    @classmethod
    def affinity(cls) -> int:
        """Say that Slurm is there: to write a script none is needed."""
        return 1

    def text(self, command: str, count: int | None, throttle: int) -> str:
        """Return the script.

        Args:
            command: its last line.
            count: number of jobs of an array; None: a single job.
            throttle: jobs of the array that run at a time.
        """
        self.parameters["array_parallelism"] = throttle
        self.parameters["map_count"] = count
        return self._make_submission_file_text(command, "")
