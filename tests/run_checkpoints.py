"""The checkpoints of runs, for tests of any part that trains."""

from pycls.core.runs.paths import EPOCH_NAME, checkpoint_dir


def last_checkpoint(out_dir):
    """Return the checkpoint of the highest epoch, by number; None where there is none."""
    found = checkpoint_dir(out_dir).glob("*")
    numbered = [(int(name[1]), path) for path in found if (name := EPOCH_NAME.fullmatch(path.name))]
    return max(numbered)[1] if numbered else None
