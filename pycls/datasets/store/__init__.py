"""Prepared sets on disk: how they are read and written."""
