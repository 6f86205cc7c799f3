"""One training or test as a job of its own, by submitit."""
