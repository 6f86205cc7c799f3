"""From the logs of runs to tables: the state of each run, records, and collection."""
