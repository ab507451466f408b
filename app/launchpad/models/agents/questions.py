"""What the runs of one agent ask their model first, learnt from those before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard, cast

from pydantic_ai.messages import ModelRequest, ModelResponse

from launchpad.models.agents.ahead import Expected
from launchpad.models.agents.prepared import is_looked_up
from launchpad.models.agents.settled_run import SettledRuns

if TYPE_CHECKING:
    from pydantic_ai import Agent, ModelSettings
    from pydantic_ai.messages import ModelMessage
    from pydantic_ai.models import ModelRequestParameters

    from launchpad.models.agents.streaming_model import StreamingModel

__all__ = ["Question", "Questions"]

_SAID = frozenset({"user_prompt", "message_history", "deps", "infer_name"})
"""The parameters of runs whose requests may be expected."""
_MOST = 256


@dataclass(frozen=True, slots=True)
class Question:
    """What an agent's request has beside its conversation: `settings` are without the client's."""

    parameters: ModelRequestParameters
    settings: ModelSettings | None
    instructions: str | None


class Questions:
    """What the runs of `agent` ask its `model` first, learnt from those before.

    `are_read_live`: whether nodes read the agent's answers as `LiveStream`s, which need no run;
    None until one was read. Not with a pydantic-ai whose results nobody has looked into.
    """

    def __init__(self, agent: Agent[Any, Any], model: StreamingModel) -> None:
        self.agent = agent
        self.model = model
        self.are_read_live: bool | None = None if is_looked_up() else False
        self.settled = SettledRuns()
        self._question: Question | None = None
        self._settings: list[dict[str, Any]] = []
        """What the question's settings were made of."""
        self._known: set[object] = set()

    @property
    def question(self) -> Question | None:
        """The last that was asked as expected; one agent's are all alike.

        None where none was, or somebody has changed the settings of all since.
        """
        return self._question if self._settings == self._given_settings() else None

    def knows(self, kind: object) -> bool:
        """Whether requests of this kind (`PlainRequest.key`) were asked as expected."""
        return kind in self._known

    def learn(self, kind: object, question: Question) -> None:
        """Take note of a request that was asked as expected."""
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known.add(kind)
        self._question = question
        self._settings = self._given_settings()

    def _given_settings(self) -> list[dict[str, Any]]:
        given: Any = (self.agent.model_settings, self.model.settings)
        return [dict(one or ()) for one in given]

    def expected(self, prompt: Sequence[Any], given: Mapping[str, Any]) -> Expected | None:
        """The request of the run of `prompt` (its one argument by place, or none) and `given`.

        None where it cannot be told.
        """
        if self.are_read_live is False or len(prompt) > 1:
            return None
        if any(value is not None and name not in _SAID for name, value in given.items()):
            return None
        said = prompt[0] if prompt else given.get("user_prompt")
        history: object = given.get("message_history") or ()
        if type(said) is not str or not said or not _is_conversation(history):
            return None
        return Expected(self, said, list(history))


def _is_conversation(history: object) -> TypeGuard[Sequence[ModelMessage]]:
    if not isinstance(history, list | tuple):
        return False
    messages = cast("Sequence[object]", history)
    return all(isinstance(one, ModelRequest | ModelResponse) for one in messages)
