"""Finding and opening prepared sets, their subsets, and what a set will hold."""
