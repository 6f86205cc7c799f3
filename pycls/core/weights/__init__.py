"""Reads, writes and downloads checkpoints, and carries weights to another network."""
