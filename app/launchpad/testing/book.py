"""Which steps answer which request: scripts set by the test, or else the scripted model."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import TypeAlias

from launchpad.testing.answers import TOKEN_STEPS, answer, is_token
from launchpad.testing.directives import read_directives
from launchpad.testing.prompt import Prompt
from launchpad.testing.steps import (
    Answer,
    Delay,
    Die,
    Done,
    DuplicateToolIndices,
    ErrorEvent,
    Finish,
    HalfEvent,
    Hang,
    NoFinish,
    Reasoning,
    Refuse,
    Repeat,
    Status,
    Step,
    ToolDelta,
    UsageStep,
)

__all__ = ["Reply", "ScriptBook"]

Reply: TypeAlias = "str | Callable[[Prompt], str | Sequence[Step]]"
"""The scripted model's text, or a function that gives text or steps for a prompt."""

ENDS = (Die, Refuse, Hang, Status, NoFinish, ErrorEvent, HalfEvent)


class ScriptBook:
    """The test's side of a scripted model: what it is to answer. Safe to use from any thread.

    Args: `reply`, what the scripted model says where no command, tool or format decides.
    """

    def __init__(self, reply: Reply | None = None) -> None:
        self.reply: Reply | None = reply
        self._lock = threading.Lock()
        self._queue: deque[tuple[Step, ...]] = deque()
        self._always: tuple[Step, ...] | None = None

    def script(self, *steps: Step) -> None:
        """Answer the next request that no earlier script takes with these steps."""
        with self._lock:
            self._queue.append(steps)

    def script_all(self, *steps: Step) -> None:
        """Answer every request with these steps, until `clear()`. Queued scripts go first."""
        with self._lock:
            self._always = steps

    def clear(self) -> None:
        """Forget all scripts: the scripted model answers again."""
        with self._lock:
            self._queue.clear()
            self._always = None

    @property
    def unused(self) -> int:
        """How many queued scripts no request has taken yet."""
        return len(self._queue)

    def steps_for(self, prompt: Prompt) -> list[Step]:
        """The whole answer, its end included. Raises `BadPromptError`."""
        with self._lock:
            script = self._queue.popleft() if self._queue else self._always
        if script is not None:
            return _completed(self._expanded(script, prompt), prompt)
        return _completed(self._own(prompt, 0.0), prompt)

    def _expanded(self, script: Iterable[Step], prompt: Prompt) -> list[Step]:
        steps: list[Step] = []
        for step in script:
            steps += self._own(prompt, step.pace) if isinstance(step, Answer) else [step]
        return steps

    def _own(self, prompt: Prompt, pace: float) -> list[Step]:
        """What the scripted model itself says, faults that the message orders included."""
        reply = self.reply(prompt) if callable(self.reply) else self.reply
        if reply is not None and not isinstance(reply, str):
            return list(reply)
        orders = read_directives(prompt.user_text)
        if orders.status is not None:
            headers = {"Retry-After": "1"} if orders.status in {429, 503} else {}
            return [Status(orders.status, headers)]
        choices = [answer(prompt, index, reply=reply) for index in range(prompt.choices)]
        turns = zip_longest(*choices)
        steps = [step for turn in turns for step in turn if step is not None]
        steps = _paced(steps, pace or orders.pace)
        if orders.die is not None:
            return [*_first_tokens(steps, orders.die), Die()]
        if orders.hang is not None:
            return [*_first_tokens(steps, orders.hang), Hang()]
        return steps


def _paced(steps: list[Step], pace: float) -> list[Step]:
    if not pace:
        return steps
    paced: list[Step] = []
    for step in steps:
        if is_token(step) and paced:
            paced.append(Delay(pace))
        paced.append(step)
    return paced


def _first_tokens(steps: list[Step], number: int) -> list[Step]:
    kept: list[Step] = []
    for step in steps:
        if isinstance(step, Finish):
            continue
        if is_token(step):
            if number == 0:
                break
            number -= 1
        kept.append(step)
    return kept


def _completed(steps: list[Step], prompt: Prompt) -> list[Step]:
    """Add what is missing of finish, usage and end mark, unless the script ends otherwise."""
    if any(isinstance(step, Done) for step in steps) or (steps and isinstance(steps[-1], ENDS)):
        return steps
    finished = {step.choice for step in steps if isinstance(step, Finish)}
    begun = {
        0,
        *(step.choice for step in steps if isinstance(step, (*TOKEN_STEPS, Repeat, Finish))),
    }
    calls = {step.choice for step in steps if isinstance(step, ToolDelta)}
    calls |= {0 for step in steps if isinstance(step, DuplicateToolIndices)}
    steps = [
        *steps,
        *(
            Finish("tool_calls" if choice in calls else "stop", choice)
            for choice in sorted(begun - finished)
        ),
    ]
    if not any(isinstance(step, UsageStep) for step in steps):
        output = sum(map(_tokens_in, steps))
        steps.append(UsageStep(prompt.count_tokens(), output, _reasoning(steps)))
    return [*steps, Done()]


def _tokens_in(step: Step) -> int:
    return (step.times or 0) if isinstance(step, Repeat) else int(is_token(step))


def _reasoning(steps: list[Step]) -> int:
    return sum(isinstance(step, Reasoning) for step in steps)
