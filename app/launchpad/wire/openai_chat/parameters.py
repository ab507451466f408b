"""Which parameters are honoured, which are refused, which are ignored (and named as such).

The rule: what would change the answer's form and cannot be honoured is refused; anything else is
ignored and named in the header `x-launchpad-ignored`; unknown fields are let through unnamed.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass

from launchpad.errors import UnsupportedParameterError
from launchpad.wire.openai_chat.options import JsonObjectFormat
from launchpad.wire.openai_chat.sampling import SAMPLING, parameters_behind
from launchpad.wire.openai_chat.schema import OpenAIChatSchema

__all__ = [
    "IGNORABLE",
    "IGNORED_HEADER",
    "Capabilities",
    "asks_for_nothing_special",
    "review",
]

IGNORED_HEADER = "x-launchpad-ignored"

IGNORABLE = (
    "logprobs",
    "top_logprobs",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "verbosity",
    "web_search_options",
)
"""OpenAI's parameters that no workflow honours, and that leave the answer's form as it is."""


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What one workflow can do with a request."""

    sampling: bool = True
    """Some node takes sampling parameters."""
    client_tools: bool = False
    """The client's tools reach the model, and its calls reach the client."""
    response_format: bool = False
    """`response_format` reaches the model, and the answer is that model's alone."""
    some_response_format: bool = False
    """It reaches a model, whose answer other nodes' words may stand beside."""
    structured: bool = False
    """Some node's output is JSON."""
    choices: int = 1
    """The largest `n`."""


def asks_for_nothing_special(request: OpenAIChatSchema) -> bool:
    """Whether `review` would find nothing, whatever the workflow: so it is for most requests."""
    return request.is_plain and not request.valid_json_chunks


def review(
    request: OpenAIChatSchema, capabilities: Capabilities, left_out: Set[str] = frozenset()
) -> list[str]:
    """The names of the parameters that are given and ignored.

    `left_out`: the settings (`request.model_settings()`) that no model is asked with. Raises
    `UnsupportedParameterError` for the first that changes the form and can't be honoured.
    """
    if asks_for_nothing_special(request):
        return []
    for param, reason in _refused(request, capabilities):
        raise UnsupportedParameterError(f"Unsupported parameter: '{param}'. {reason}", param=param)
    return list(_ignored(request, capabilities, left_out))


def _refused(request: OpenAIChatSchema, can: Capabilities) -> Iterator[tuple[str, str]]:
    extra = request.model_extra or {}
    if request.client_tools and not can.client_tools:
        yield "tools", "This model does not take the client's tools."
    if extra.get("functions") and extra.get("function_call") != "none":
        yield "functions", "Use 'tools' instead."
    if request.wants_json and not _takes_format(request, can):
        yield (
            "response_format",
            "This model's JSON has a schema of its own; ask for 'json_object', streamed, with "
            "'stream_options.valid_json_chunks'."
            if can.structured
            else "Other words stand beside what its model says; ask for them to be left out, "
            "streamed, with 'stream_options.valid_json_chunks'."
            if can.some_response_format
            else "This model's output format is its own.",
        )
    if request.choices > can.choices:
        yield "n", f"This model gives at most {can.choices} choice{'s' * (can.choices > 1)}."
    if request.audio is not None:
        yield "audio", "This model answers in text."
    if any(modality != "text" for modality in request.modalities or ()):
        yield "modalities", "This model answers in text."
    formats = can.response_format or can.some_response_format
    json_possible = can.structured or (request.wants_json and formats)
    if request.valid_json_chunks and request.stream is not False and not json_possible:
        yield (
            "stream_options.valid_json_chunks",
            "This model produces JSON only where 'response_format' asks for it."
            if formats
            else "This model does not produce JSON.",
        )


def _takes_format(request: OpenAIChatSchema, can: Capabilities) -> bool:
    """Whether the answer will have the format that is asked for.

    A node whose output is JSON gives a `json_object` in its own schema; what others say beside it
    is left out under `valid_json_chunks` alone.
    """
    is_object = isinstance(request.response_format, JsonObjectFormat)
    only_json = request.valid_json_chunks and request.stream is not False
    if only_json and (can.some_response_format or (can.structured and is_object)):
        return True
    return can.response_format


def _ignored(request: OpenAIChatSchema, can: Capabilities, left_out: Set[str]) -> Iterator[str]:
    sampling = parameters_behind(request, left_out) if can.sampling else SAMPLING
    names = (*sampling, *IGNORABLE)
    # The fields that were given, unknown ones among them.
    given = request.model_fields_set
    for name in names:
        if name in given:
            value = getattr(request, name)
            if value is not None and value is not False:
                yield name
