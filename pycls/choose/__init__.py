"""Choosing a network for one's own set: stages of studies, and what comes out of them."""
