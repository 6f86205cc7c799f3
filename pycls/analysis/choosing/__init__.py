"""What to choose and how sure: proxies for a target, the best few, early ends, several targets."""
