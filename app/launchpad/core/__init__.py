"""Define and run a workflow. Knows no HTTP and no wire format."""
