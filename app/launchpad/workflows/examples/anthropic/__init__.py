"""An agent on Anthropic's API (document 002)."""
