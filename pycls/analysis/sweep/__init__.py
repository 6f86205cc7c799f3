"""The analysis of a sweep, after that of pycls."""
