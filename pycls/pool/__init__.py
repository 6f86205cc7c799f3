"""Worker processes that train the runs of a study or sweep on one machine."""
