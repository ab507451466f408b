"""Dialects: run events in, bytes of one wire format out. One file or folder a dialect.

Encoders are synchronous and pure: they know no socket, clock or task. `base.Encoder` is what
each of them is; `order` and `openai_chat` are shared ground.
"""
