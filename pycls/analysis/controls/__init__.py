"""The control experiments of a study."""
