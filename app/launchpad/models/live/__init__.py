"""A model's answer, read live: while pydantic-ai's run stays right behind it."""
