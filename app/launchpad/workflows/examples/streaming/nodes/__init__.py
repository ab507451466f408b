"""The workflow's two nodes."""
