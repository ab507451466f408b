"""Two nodes, one after another: text, then a structured object (document 001)."""
