"""Conversations that pydantic-ai's `Model.prepare_messages` leaves as they are.

Before each request of an agent pydantic-ai looks through the whole conversation for what a model
might misread (tags that its own frames have, a chat template's special tokens) and what it might
not know (other providers' parts): some 230 calls, for one question as for many. A conversation of
plain questions and answers, be it behind what the application says first, without a character that
any of that begins with comes out untouched.

Which characters these are was looked up in the pydantic-ai that is named here
(`tests/models/test_pydantic_ai_private.py` holds it). A later one may know others, and these notes
are what keeps a prompt from passing for the application: it prepares everything itself, until
somebody has looked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pydantic_ai
from pydantic_ai.messages import (
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.models import Model
from pydantic_ai.models.wrapper import WrapperModel

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

__all__ = ["Untouched", "is_looked_up", "kind_of_plain"]

_SUSPECT = re.compile(r"[<\[\]&\uff1c\ufe64\uff06\ufe60]")
"""What tags begin with, encoded or in another width, and what special tokens begin with."""


_LOOKED_UP = "2.68."
"""The versions of pydantic-ai whose source says that it is so."""


def is_looked_up() -> bool:
    """Whether somebody has looked into the pydantic-ai that is installed."""
    return pydantic_ai.__version__.startswith(_LOOKED_UP)


class Untouched:
    """Which kinds of plain conversation a model's preparation was seen to leave as they are."""

    def __init__(self) -> None:
        self._is_known = is_looked_up()
        self._model: Model | None = None
        self._kinds: set[str] = set()

    def kind(self, model: Model, messages: Sequence[ModelMessage]) -> str | None:
        """The kind of a plain conversation; None for any other, which `model` is to prepare.

        A model with a preparation of its own may look at anything.
        """
        prepares = _preparation(model)
        while prepares is WrapperModel.prepare_messages and isinstance(model, WrapperModel):
            # Each time anew: a wrapper may choose what it wraps.
            model = model.wrapped
            prepares = _preparation(model)
        if prepares is not Model.prepare_messages or not self._is_known:
            return None
        if model is not self._model:
            self._model, self._kinds = model, set()
        return kind_of_plain(messages)

    def has(self, kind: str) -> bool:
        """Whether conversations of this kind need no preparation."""
        return kind in self._kinds

    def learn(
        self, kind: str, messages: Sequence[ModelMessage], prepared: Sequence[ModelMessage]
    ) -> None:
        """Take note of what `messages` came out as."""
        if len(messages) == len(prepared) and all(map(_is_same, messages, prepared)):
            self._kinds.add(kind)


def _preparation(model: Model) -> object:
    """The function behind the method, which may also be the instance's own."""
    return getattr(model.prepare_messages, "__func__", None)


def kind_of_plain(messages: Sequence[ModelMessage]) -> str | None:
    """What a plain conversation has: questions, or answers to them as well. None for any other.

    What the application says in front of all counts, too; a model may announce something there.
    """
    kind = "asked" if messages else None
    said = ""
    for at, message in enumerate(messages):
        if type(message) is ModelRequest:
            parts = message.parts
            if at == 0 and (standing := _standing(parts)):
                parts, said = parts[standing:], "told, "
            plain = not message.metadata and all(map(_is_question, parts))
        elif type(message) is ModelResponse:
            kind = "answered"
            plain = message.state == "complete" and all(map(_is_answer, message.parts))
        else:
            plain = False
        if not plain:
            return None
    return said + kind if kind is not None else None


def _standing(parts: Sequence[object]) -> int:
    """How many parts open a conversation as the application's own words."""
    count = 0
    for part in parts:
        if type(part) is not SystemPromptPart or not _is_plain(part.content):
            break
        if part.context_id is not None or part.scope != "conversation":
            break
        count += 1
    return count


def _is_question(part: object) -> bool:
    return type(part) is UserPromptPart and _is_plain(part.content)


def _is_answer(part: object) -> bool:
    return (
        type(part) is TextPart
        and _is_plain(part.content)
        and not part.provider_details
        and not part.citations
    )


def _is_plain(content: object) -> bool:
    return type(content) is str and _SUSPECT.search(content) is None


def _is_same(message: ModelMessage, prepared: ModelMessage) -> bool:
    return message is prepared
