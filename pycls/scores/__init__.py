"""Zero-cost scores: what a network's first weights and one batch say of it, without training."""
