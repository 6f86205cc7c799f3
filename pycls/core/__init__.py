"""One run: training, testing and timing a network under one configuration."""
