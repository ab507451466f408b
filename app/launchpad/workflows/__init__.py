"""Which workflows there are, and the examples that ship with Launchpad."""
