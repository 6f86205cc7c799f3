"""Results of runs: the state of each, the records of its log, and their collection in tables."""
