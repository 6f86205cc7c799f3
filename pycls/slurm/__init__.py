"""Slurm: options of jobs, the client for its commands, its records, and batch scripts."""
