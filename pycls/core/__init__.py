"""Trains, tests and times one network under one configuration."""
