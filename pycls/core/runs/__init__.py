"""A run's folder: its log, its record, the lease on it and how a run is asked to stop."""
