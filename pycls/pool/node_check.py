"""What a machine must have before it trains: libraries that can be imported, and working GPUs."""

import traceback

from pycls.errors import PyclsError, chain_of

_MODULE_BODY = "<module>"  # what tracebacks call it; Python leaves out its own frames of an import


class NodeError(PyclsError):
    """A machine that cannot train, whatever the run."""


def prove_node(device: str, gpus: int) -> None:
    """Make sure that this machine can train.

    Args:
        device: DEVICE of the run.
        gpus: how many GPUs it must have, unless the run is for the CPU.

    Raises:
        NodeError: it cannot, and why.
    """
    try:
        import torch

        import pycls.core.trainer  # noqa: F401
    except MemoryError:
        raise
    except Exception as error:
        raise NodeError(f"PyTorch cannot be imported ({_words(error)})") from error
    if not gpus or device == "cpu":
        return
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found < gpus:
        raise NodeError(
            f"PyTorch {torch.__version__} sees {found} of the {gpus} GPUs that the job asked for"
            f"{_why_none(found)}; to train on the CPU set DEVICE cpu, or LAUNCH.NUM_GPUS 0"
        )
    if gpus == 1:  # of several each belongs to a process of its own
        try:
            torch.ones(1, device="cuda").add_(1.0).item()
        except RuntimeError as error:
            raise NodeError(f"the GPU does not work ({_words(error)})") from error


def failed_to_import(error: BaseException) -> bool:
    """Say whether an error came up while a module was being imported, other than for memory."""
    for cause in chain_of(error):
        if isinstance(cause, PyclsError | MemoryError):
            return False
        if isinstance(cause, ImportError | SyntaxError):
            return True
        frames = traceback.extract_tb(cause.__traceback__)
        if isinstance(cause, Exception) and any(f.name == _MODULE_BODY for f in frames):
            return True
    return False


def _why_none(found: int) -> str:
    import torch

    if found or torch.version.cuda is not None or torch.version.hip is not None:
        return ""
    return " (it is a build for the CPU)"


def _words(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}".rstrip(": ")
