"""A client's tools and answer format, sent to the upstream as the client gave them.

pydantic-ai's models rewrite schemas for what they know of providers: they close objects (`{"type":
"object"}` would come to mean `{ }`), fill in `required`, infer `strict`, drop what strict mode
does not know, and refuse some schemas outright. That is right for the agent's own tools, whose
schemas pydantic made, and wrong for a client's, which are written for the server behind us.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_ai.tools import ToolDefinition


@dataclass(frozen=True, slots=True)
class ClientForm:
    """What one request is to ask for as the client asked: its tools by name, its format."""

    tools: Mapping[str, ToolDefinition]
    response_format: Mapping[str, Any] | None = None

    def owns(self, tool: ToolDefinition) -> bool:
        """Whether it is a tool of the client, not of the server."""
        return tool.kind == "external" and tool.name in self.tools

    def put_back(self, body: dict[str, Any]) -> None:
        """Undo in a request's `body` what pydantic-ai's mapping has made of the form."""
        sent: Sequence[dict[str, Any]] = body.get("tools") or ()
        if sent and self.tools:
            body["tools"] = [self._as_given(tool) for tool in sent]
        if self.response_format is not None:
            body["response_format"] = self.response_format

    def _as_given(self, sent: dict[str, Any]) -> dict[str, Any]:
        name = sent["function"]["name"] if sent.get("type") == "function" else None
        tool = self.tools.get(name) if name is not None else None
        if tool is None:
            return sent
        function: dict[str, Any] = {"name": name}
        if tool.description is not None:
            function["description"] = tool.description
        function["parameters"] = tool.parameters_json_schema
        if tool.strict is not None:
            function["strict"] = tool.strict
        return {**sent, "function": function}
