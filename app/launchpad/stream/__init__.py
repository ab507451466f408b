"""Operators over run events: event iterator in, event iterator out.

Nothing in here knows a network or a wire format.
"""
