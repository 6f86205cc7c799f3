"""Launching a study or sweep, here or on Slurm, following it up, and its status."""
