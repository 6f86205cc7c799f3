"""Starts, connects and ends the several processes of one training."""
