"""Conversations that pydantic-ai's `Model.prepare_messages` leaves as they are.

Before each request of an agent pydantic-ai looks through the whole conversation for what a model
might misread (tags that its own frames have, a chat template's special tokens) and what it might
not know (other providers' parts): some 230 calls, for one question as for many. A conversation of
plain questions and answers without a character that any of that is made of comes out untouched.
The first one of its kind is prepared nonetheless, and only where it was untouched the next are not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models import Model
from pydantic_ai.models.wrapper import WrapperModel

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

__all__ = ["Untouched", "kind_of_plain"]

_SUSPECT = re.compile(r"[<\[\]&\uff1c\ufe64\uff06\ufe60]")
"""What tags begin with, encoded or in another width, and what special tokens begin with."""


class Untouched:
    """Which kinds of plain conversation a model's preparation was seen to leave as they are."""

    def __init__(self, model: Model) -> None:
        while type(model).prepare_messages is WrapperModel.prepare_messages:
            model = model.wrapped if isinstance(model, WrapperModel) else model
        self._is_usual = type(model).prepare_messages is Model.prepare_messages
        """A model class with a preparation of its own may look at anything."""
        self._kinds: set[str] = set()

    def kind(self, messages: Sequence[ModelMessage]) -> str | None:
        """The kind of a plain conversation; None for any other, which is to be prepared."""
        return kind_of_plain(messages) if self._is_usual else None

    def has(self, kind: str) -> bool:
        """Whether conversations of this kind need no preparation."""
        return kind in self._kinds

    def learn(
        self, kind: str, messages: Sequence[ModelMessage], prepared: Sequence[ModelMessage]
    ) -> None:
        """Take note of what `messages` came out as."""
        if len(messages) == len(prepared) and all(map(_is_same, messages, prepared)):
            self._kinds.add(kind)


def kind_of_plain(messages: Sequence[ModelMessage]) -> str | None:
    """`"asked"` for plain questions, `"answered"` where plain answers are among them, else None."""
    kind = "asked"
    for message in messages:
        if type(message) is ModelRequest:
            plain = not message.metadata and all(map(_is_question, message.parts))
        elif type(message) is ModelResponse:
            kind = "answered"
            plain = message.state == "complete" and all(map(_is_answer, message.parts))
        else:
            plain = False
        if not plain:
            return None
    return kind


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
