"""Checks and measures the project on a GPU: docs/benchmarks.md."""
