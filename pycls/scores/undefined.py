"""The answer that a network has no score of some kind."""


class Undefined(Exception):  # noqa: N818 - no error: it says why there is no value
    """A score is not defined for a network; the message says why, in a few words."""
