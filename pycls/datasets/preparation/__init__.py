"""The preparation of a set: from a download to arrays on disk."""
