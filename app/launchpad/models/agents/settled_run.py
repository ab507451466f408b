"""The result of a run that has nothing left to do, without the run.

A run of data alone whose agent gives text does nothing more with its model's complete answer: its
output is that text, its messages are the conversation, the request and the answer. pydantic-ai
takes 1.3 ms to say so. So the first run of each kind is made, and its result is compared with what
is made here; those like it are not made any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.run import AgentRunResult
from pydantic_ai.usage import RunUsage

from launchpad.models.private_names import private_name

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

    from launchpad.models.agents.ahead import Expected

__all__ = ["SettledRuns"]

_State = private_name("_agent_graph", "GraphAgentState")
_traceparent = private_name("_instrumentation", "current_otel_traceparent")

_MOST = 256
_TOLD = ("usage", "metadata", "run_id", "conversation_id")


class SettledRuns:
    """Which kinds of an agent's runs need not be made: their results were seen to be these."""

    def __init__(self) -> None:
        self._known: set[object] = set()

    def result(self, expected: Expected) -> AgentRunResult[str] | None:
        """The result of a run whose answer is complete; None where it is to be made."""
        if not _gives_text(expected):
            return None
        answer = expected.answer[1].get()
        return _result(expected, answer) if _kind(expected, answer) in self._known else None

    def learn(self, expected: Expected, made: AgentRunResult[Any]) -> None:
        """Take note of what the run has `made`."""
        if not _gives_text(expected):
            return
        answer = expected.answer[1].get()
        kind = _kind(expected, answer)
        ours = _result(expected, answer)
        if ours is not None and _is_alike(ours, made):
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known.add(kind)


def _gives_text(expected: Expected) -> bool:
    return expected.question.parameters.output_mode == "text"


def _kind(expected: Expected, answer: ModelResponse) -> object:
    # A price that is not for tokens is known where they were not counted, too: it is the model's.
    uncounted = answer.model_name if answer.usage.unmeasured_requests else None
    return expected.kind, answer.finish_reason, uncounted


def _result(expected: Expected, answer: ModelResponse) -> AgentRunResult[str] | None:
    """The result with this `answer`; None where a run may have more to say."""
    if _State is None or _traceparent is None or any(map(_has_workspace, expected.history)):
        return None
    answer.run_id = expected.run_id
    answer.conversation_id = expected.conversation_id
    answer.model_id = expected.model_id
    try:
        answer.usage.cost = answer.cost().total_price
    except (AssertionError, LookupError, ValueError):
        pass  # Nobody knows what tokens of that model cost.
    except Exception:  # noqa: BLE001
        return None  # pydantic-ai warns of it.
    messages = [*expected.messages(expected.question), answer]
    # All that it has beside its output can be given in public (its serialized form), but to build
    # the validator for that would take a start 0.07 s.
    state = _State(
        message_history=messages,
        usage=RunUsage(requests=1) + answer.usage,
        run_id=expected.run_id,
        conversation_id=expected.conversation_id,
    )
    text = "".join(cast("TextPart", part).content for part in answer.parts)
    return AgentRunResult(
        text,
        _state=state,
        _new_message_index=len(messages) - 2,
        # The application's own span, where one is open: there are traces that agents have no part
        # in.
        _traceparent_value=_traceparent(),
    )


def _has_workspace(message: ModelMessage) -> bool:
    return isinstance(message, ModelResponse) and message.workspace_ref is not None


def _is_alike(ours: AgentRunResult[Any], made: AgentRunResult[Any]) -> bool:
    return (
        type(ours.output) is type(made.output)
        and _fields(ours) == _fields(made)
        and ours.all_messages() == made.all_messages()
        and all(getattr(ours, name) == getattr(made, name) for name in _TOLD)
        and not made.workspace.attached
    )


def _fields(result: AgentRunResult[Any]) -> dict[str, Any]:
    """All but what is compared in public, and the workspace's placeholder."""
    return {name: one for name, one in vars(result).items() if name not in {"_state", "_workspace"}}
