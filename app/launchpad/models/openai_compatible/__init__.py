"""Our reader of OpenAI-compatible chat completion streams, and the models that use it."""
