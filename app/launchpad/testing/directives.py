"""Commands that a user message may hold: how a test in any language directs the scripted model.

Each is a line of its own in the last user message; the other lines are its text.

    !say TEXT             answer with this text (several lines: several `!say`)
    !words N              answer with N words, chosen by `seed`
    !reason TEXT          think this aloud first
    !refuse TEXT          refuse with this text
    !call NAME {json}     call this tool (several lines: several calls)
    !pace SECONDS         pause between tokens
    !status CODE          answer with this HTTP status
    !die N                drop the connection after N tokens
    !hang N               fall silent after N tokens
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from launchpad.testing.prompt import BadPromptError

__all__ = ["Directives", "read_directives"]

LINE = re.compile(
    r"^!(say|words|reason|refuse|call|pace|status|die|hang)(?:[ \t]+(.*?))?[ \t]*$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Directives:
    """The commands of one message; `text` is what is left of it."""

    text: str
    say: str | None = None
    words: int | None = None
    reason: str | None = None
    refuse: str | None = None
    calls: tuple[tuple[str, str], ...] = field(default=())
    pace: float = 0.0
    status: int | None = None
    die: int | None = None
    hang: int | None = None


def read_directives(message: str) -> Directives:
    """Take the command lines out of `message`. Raises `BadPromptError` on a malformed one."""
    found: dict[str, list[str]] = {}
    for name, argument in LINE.findall(message):
        found.setdefault(name, []).append(argument)
    if not found:
        return Directives(message)

    def joined(name: str) -> str | None:
        return "\n".join(found[name]) if name in found else None

    def number(name: str) -> int | None:
        return int(found[name][-1]) if name in found else None

    calls = [argument.partition(" ") for argument in found.get("call", ())]
    try:
        return Directives(
            text=LINE.sub("", message).strip(),
            say=joined("say"),
            words=number("words"),
            reason=joined("reason"),
            refuse=joined("refuse"),
            calls=tuple((name, arguments.strip() or "{}") for name, _, arguments in calls),
            pace=float(found["pace"][-1]) if "pace" in found else 0.0,
            status=number("status"),
            die=number("die"),
            hang=number("hang"),
        )
    except ValueError as error:
        raise BadPromptError(f"A command needs a number: {error}", "messages") from error
