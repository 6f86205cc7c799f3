"""The pulse of a process that trains: whether it goes on, for who watches it."""

_beats = 0


def beat() -> None:
    """Count a batch, trained or tested, or another step of what it does."""
    global _beats
    _beats += 1


def beats() -> int:
    """Return how many there were so far."""
    return _beats
