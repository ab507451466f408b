"""Workflows to learn from, each served by `launchpad serve` under its folder's name."""
