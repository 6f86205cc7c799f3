"""The files of a study that its analysis reads."""
