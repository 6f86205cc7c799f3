"""The pulse of a process that trains: how many batches it has been through, for who watches it."""

_beats = 0


def beat() -> None:
    """Count a batch, trained or tested."""
    global _beats
    _beats += 1


def beats() -> int:
    """Return the number of batches so far."""
    return _beats
