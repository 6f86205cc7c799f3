"""From a download to a prepared set."""
