"""The reason of a failure in words, for the record of the run."""

import errno

from pycls.core.processes.faults import OUT_OF_MEMORY_WORDS, Fault, find_fault
from pycls.errors import PyclsError, chain_of

_OUT_OF_MEMORY = (
    "out of memory: {what}; nothing was made smaller. Ask for more (LAUNCH.MEM_PER_GPU), run "
    "fewer at once (LAUNCH.RUNS_PER_GPU) or set a smaller TRAIN.BATCH_SIZE, which changes the "
    "result"
)
# What else says it in the words of a process: its last line, or Slurm's.
_WORDS_IN_OUTPUT = (*OUT_OF_MEMORY_WORDS, "memoryerror", "oom_kill", "oom-kill")


def describe_failure(error: BaseException) -> str:
    """Return why a run failed that raised `error`; of memory with what can be done."""
    if isinstance(error, PyclsError):
        return str(error)
    what = _on_one_line(error)
    return _OUT_OF_MEMORY.format(what=what) if _is_out_of_memory(error) else what


def explain_output(text: str) -> str:
    """Return a reason that a process gave in words, of memory with what can be done."""
    if any(word in text.lower() for word in _WORDS_IN_OUTPUT):
        return _OUT_OF_MEMORY.format(what=text)
    return text


def _is_out_of_memory(error: BaseException) -> bool:
    return find_fault(error) is Fault.OUT_OF_MEMORY or any(
        isinstance(cause, OSError) and cause.errno == errno.ENOMEM for cause in chain_of(error)
    )


def _on_one_line(error: BaseException) -> str:
    """Return an error's kind and text; of a text with a traceback, what stands around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    name = type(error).__name__
    if not lines:
        return name
    if len(lines) > 1 and lines[1].startswith("Traceback"):
        return f"{name}: {lines[0]} {lines[-1]}"
    return f"{name}: {lines[0]}"
