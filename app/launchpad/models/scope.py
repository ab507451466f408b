"""What one client request asks of the models that answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, cast

from launchpad.events import FinishReason, Usage

if TYPE_CHECKING:
    from pydantic_ai import ModelSettings, ToolDefinition
    from pydantic_ai.models import ModelRequestParameters


@dataclass(frozen=True, kw_only=True)
class RequestScope:
    """A client's wishes for the streaming agents of its run.

    `settings` are sampling parameters; they win over the agent's own. `client_tools` are tools
    that the client runs itself, `tool_choice` is pydantic-ai's setting for them, and
    `response_format` is OpenAI's object: these three reach only a model that allows them
    (`StreamingModel(allow_client_form=True)`), because they change the answer's form.
    """

    settings: ModelSettings = field(default_factory=lambda: cast("ModelSettings", {}))
    client_tools: Sequence[ToolDefinition] = ()
    tool_choice: Any = None
    response_format: Mapping[str, Any] | None = None

    @property
    def has_form(self) -> bool:
        """Whether the client asks for a form of answer: with tools, or a format."""
        return bool(self.client_tools) or self.response_format is not None


request_scope: ContextVar[RequestScope | None] = ContextVar("launchpad_request_scope", default=None)
"""The running request's scope. Set it in the task that runs the nodes."""


class OpenRun(Protocol):
    """An agent's streamed run."""

    async def end(self) -> None:
        """End it, if it was begun in this task and is still open."""


class Spent:
    """What the models took that one node asked, and why the last of their answers ended.

    `provider`: the fallback's that was asked last, where one stood in for the node's own model.
    `open_runs`: the agents' streams that the node has begun and not left.
    """

    __slots__ = ("finish_reason", "open_runs", "provider", "usages")

    def __init__(self) -> None:
        self.provider: str | None = None
        self.usages: list[Usage | None] = []
        self.open_runs: list[OpenRun] = []
        self.finish_reason: FinishReason | None = None


spent_here: ContextVar[Spent | None] = ContextVar("launchpad_spent", default=None)
"""The running node's account, on which whoever asks a model for it counts."""


def count_usage(usage: Usage | None, finish_reason: FinishReason | None = None) -> None:
    """Count one request's tokens, None where the upstream did not say, and why its answer ended."""
    spent = spent_here.get()
    if spent is not None:
        spent.usages.append(usage)
        if finish_reason is not None:
            # A call that the client did not see is no end for it.
            spent.finish_reason = "stop" if finish_reason == "tool_calls" else finish_reason


async def end_open_runs() -> None:
    """End the agents' streams that the running node has left open in this task, the last first."""
    spent = spent_here.get()
    for one in reversed(list(spent.open_runs)) if spent is not None else ():
        await one.end()


def merged_settings(
    scope: RequestScope | None, settings: ModelSettings | None, *, client_form: bool
) -> ModelSettings | None:
    """The agent's settings with the request's over them."""
    if scope is None:
        return settings
    merged: Any = {**(settings or {}), **scope.settings}
    if scope.settings.get("thinking") is False and not scope.settings.get(
        "openai_reasoning_effort"
    ):
        # pydantic-ai would let the agent's own effort win over it.
        merged.pop("openai_reasoning_effort", None)
    given = scope.settings.get("extra_body")
    if given is not None and isinstance(given, Mapping):
        own = (settings or {}).get("extra_body")
        if isinstance(own, Mapping):
            merged["extra_body"] = {**cast("Any", own), **cast("Any", given)}
    if client_form and scope.client_tools and scope.tool_choice is not None:
        merged["tool_choice"] = scope.tool_choice
    settled: ModelSettings = merged
    return settled


def merged_parameters(
    scope: RequestScope | None, parameters: ModelRequestParameters, *, client_form: bool
) -> ModelRequestParameters:
    """The agent's request parameters with the client's tools and answer format added."""
    if scope is None or not client_form:
        return parameters
    if scope.client_tools:
        # "external" is pydantic-ai's word for a tool that it must not run.
        tools = [
            replace(tool, kind="external", parameters_json_schema=_object_schema(tool))
            for tool in scope.client_tools
        ]
        parameters = replace(parameters, function_tools=[*parameters.function_tools, *tools])
    if parameters.output_mode == "text":
        parameters = _with_format(parameters, scope.response_format or {})
    return parameters


def _object_schema(tool: ToolDefinition) -> dict[str, Any]:
    """A tool's schema; the empty one, which allows anything, in words that every provider takes."""
    return tool.parameters_json_schema or {"type": "object", "properties": {}}


def _with_format(
    parameters: ModelRequestParameters, wanted: Mapping[str, Any]
) -> ModelRequestParameters:
    """OpenAI's `response_format` in pydantic-ai's terms, which every provider's model maps."""
    from pydantic_ai.output import OutputObjectDefinition  # with this feature only

    if wanted.get("type") == "json_schema":
        schema: Mapping[str, Any] = wanted.get("json_schema") or {}
        return replace(
            parameters,
            output_mode="native",
            output_object=OutputObjectDefinition(
                json_schema=dict(schema.get("schema") or {"type": "object"}),
                name=schema.get("name"),
                description=schema.get("description"),
                strict=schema.get("strict"),
            ),
        )
    if wanted.get("type") == "json_object":
        return replace(
            parameters,
            output_mode="prompted",
            output_object=OutputObjectDefinition(json_schema={"type": "object"}),
            # The client's own words ask for JSON; nothing is added to them where a mode for it
            # holds the model to that (`opening`).
            prompted_output_template=False,
        )
    return parameters
