"""Two streaming nodes at the same time."""
