"""The kinds of node. Each module holds one kind."""
