"""What the scripted model is asked, whatever dialect or library it is asked in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from launchpad.testing import tokens

__all__ = ["BadPromptError", "Prompt", "Said", "Tool"]


class BadPromptError(Exception):
    """The request asks for what cannot be; on the wire a 400 that names `param`."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


@dataclass(frozen=True, slots=True)
class Said:
    """One message. Images and audio stand in `text` as `[image]` and `[audio]`."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    calls: tuple[str, ...] = ()
    """An assistant message's tool calls, by name."""
    tool: str | None = None
    """A tool message's tool, by name."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that may be called; `parameters` is its JSON schema."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request to the scripted model, with everything it obeys."""

    messages: Sequence[Said]
    model: str = "scripted"
    tools: Sequence[Tool] = ()
    tool_choice: Literal["none", "auto", "required"] = "auto"
    named_tool: str | None = None
    """The one tool that must be called; wins over `tool_choice`."""
    parallel_tool_calls: bool = True
    stop: Sequence[str] = ()
    max_tokens: int | None = None
    json: bool = False
    """The text must be JSON: any object, or one that is valid for `schema`."""
    schema: Mapping[str, Any] | None = None
    seed: int | None = None
    choices: int = 1

    @property
    def user_text(self) -> str:
        """The last user message's text, or ""."""
        users = (said.text for said in reversed(self.messages) if said.role == "user")
        return next(users, "")

    @property
    def since_user(self) -> Sequence[Said]:
        """The messages after the last user message."""
        last = max((i for i, said in enumerate(self.messages) if said.role == "user"), default=-1)
        return self.messages[last + 1 :]

    def count_tokens(self) -> int:
        """The scripted model's own count of what it was told."""
        return sum(tokens.count(said.text) for said in self.messages)
