"""The analysis of a sweep, as pycls has it."""
