"""Document 001's import path. This folder never gets a second file."""
