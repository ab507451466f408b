"""Made-up runs for the tests of encoders, and readers of what encoders write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from launchpad.events import (
    JsonDelta,
    NodeFinished,
    NodeStarted,
    ReasoningDelta,
    RefusalDelta,
    RunEvent,
    RunFinished,
    RunStarted,
    TextDelta,
    ToolCallDelta,
    Usage,
)

WORDS = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    [
        *["\u0085", "\u2028x", "\u2029", '"\\', "\n\r\n", "\0", "😀", " hello", ""],
        *["a\ud83d", "\ud83d", "\ude00b", "\ude00"],
    ]
)
REASONS = st.sampled_from([None, "stop", "length", "tool_calls"])


def frames(data: bytes) -> list[str]:
    """The payload of each frame; fails on anything that is not one `data:` line a frame."""
    assert data == b"" or data.endswith(b"\n\n")
    payloads = []
    for frame in data.split(b"\n\n")[:-1]:
        lines = frame.split(b"\n")
        assert len(lines) == 1, lines
        assert lines[0].startswith(b"data: ")
        # No client may see a line end where there is none.
        assert len(lines[0].decode().splitlines()) == 1
        payloads.append(lines[0][len("data: ") :].decode())
    return payloads


def chunks(data: bytes) -> list[dict[str, Any]]:
    """Each frame's object, without the stream's end."""
    return [json.loads(payload) for payload in frames(data) if payload != "[DONE]"]


def run_of(*events: RunEvent, run_id: str = "r1") -> list[RunEvent]:
    """A whole run around `events`, with its end where they have none."""
    last = events[-1:] and isinstance(events[-1], RunFinished)
    return [RunStarted(run_id, "Demo", None), *events, *([] if last else [RunFinished()])]


def node(name: str, *words: RunEvent, parent: str | None = None) -> list[RunEvent]:
    """One node that says `words`."""
    return [NodeStarted(name, parent), *words, NodeFinished(name, "stop" if words else None)]


def _delta(name: str) -> st.SearchStrategy[RunEvent]:
    kinds = [TextDelta, JsonDelta, ReasoningDelta, RefusalDelta]
    return st.one_of(
        *[st.builds(kind, st.just(name), WORDS) for kind in kinds],
        st.builds(ToolCallDelta, st.just(name), st.integers(0, 2), WORDS, st.just(None)),
        st.builds(
            ToolCallDelta,
            st.just(name),
            st.integers(0, 2),
            WORDS,
            st.sampled_from(["call_x", None]),
            st.sampled_from(["get_weather", None]),
            st.none() | st.just({"google": {"thought_signature": "a\u2028b"}}),
        ),
    )


@st.composite
def _node(draw: st.DrawFn, name: str, parent: str | None) -> list[RunEvent]:
    words = draw(st.lists(_delta(name), max_size=6))
    return [NodeStarted(name, parent), *words, NodeFinished(name, draw(REASONS))]


@st.composite
def _together(draw: st.DrawFn, lanes: Sequence[list[RunEvent]]) -> list[RunEvent]:
    """The lanes' events interleaved; all nodes start before any of them speaks."""
    told = [lane[0] for lane in lanes]
    rest = [list(lane[1:]) for lane in lanes]
    while any(rest):
        lane = draw(st.sampled_from([lane for lane in rest if lane]))
        told.append(lane.pop(0))
    return told


@st.composite
def runs(draw: st.DrawFn) -> list[RunEvent]:
    """A whole run: nodes one after another, some of them several at once."""
    told: list[RunEvent] = [RunStarted("r1", "Demo", None)]
    for position in range(draw(st.integers(0, 3))):
        name = f"Node{position}"
        if draw(st.booleans()):
            told += draw(_node(name, None))
            continue
        lanes = [
            draw(_node(f"{name}{letter}", name)) for letter in "ABC"[: draw(st.integers(1, 3))]
        ]
        told += [NodeStarted(name), *draw(_together(lanes)), NodeFinished(name)]
    usage = draw(st.none() | st.builds(Usage, st.integers(0, 9), st.integers(0, 9)))
    return [*told, RunFinished("stop", usage)]


@st.composite
def batches(draw: st.DrawFn, events: Sequence[RunEvent]) -> list[list[RunEvent]]:
    """`events` cut into batches anywhere."""
    cut: list[list[RunEvent]] = []
    rest = list(events)
    while rest:
        size = draw(st.integers(1, len(rest)))
        cut.append(rest[:size])
        rest = rest[size:]
    return cut
