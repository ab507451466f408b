"""Which of an agent run's failures mean that its model gave no output that fits."""

from __future__ import annotations

__all__ = ["CUT_SHORT", "NO_SUCH_TOOL", "UNFIT", "output_fault"]

CUT_SHORT = "its output was cut off by the token limit; raise max_tokens."
NO_SUCH_TOOL = "the model said nothing, and called a tool that the node's agent does not have."
UNFIT = "the model's output does not fit the node's output type."

_BEGINNINGS = (
    "Exceeded maximum output retries",
    "Output validation failed during streaming",
    "Invalid response, unable to",
)
"""How pydantic-ai begins what it says of an output: it has one class for this and for whatever else
a model does that was not expected, such as calling a tool in vain once more than it may."""


def output_fault(error: BaseException) -> str | None:
    """What is wrong with the model's output, in words for a client; None where it is not that."""
    from pydantic_ai import exceptions  # only when something has failed

    if isinstance(error, exceptions.OutputTokenLimitExceeded):
        return CUT_SHORT
    if isinstance(error, exceptions.UnexpectedModelBehavior):
        return UNFIT if error.message.startswith(_BEGINNINGS) else None
    return None
