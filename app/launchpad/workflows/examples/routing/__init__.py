"""A router that chooses between two streaming nodes."""
