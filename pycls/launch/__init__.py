"""Launches of a study or sweep, here or on Slurm: submission, follow-up and status."""
