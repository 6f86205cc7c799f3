"""Studies of how CNN architecture rankings carry over between image data sets."""

__version__ = "0.4.0.dev0"
