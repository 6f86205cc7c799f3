"""pycls's sweep files: their keys and samplers, what they draw, and the set-up of a sweep."""
