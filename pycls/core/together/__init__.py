"""Several trainings in one process, in turns, on the same batches."""
