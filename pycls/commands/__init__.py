"""The commands: what a user starts, one module each; command_names.py lists them."""
