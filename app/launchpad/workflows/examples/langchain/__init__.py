"""A LangChain chain as a node (document 002)."""
