"""Checkpoints, downloaded weights, and their transfer to another network."""
