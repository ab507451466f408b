"""The import floors of ARCHITECTURE.md hold: every import points down, or into its own package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "app" / "launchpad"
FLOORS = {
    "events": 1,
    "errors": 1,
    "settings": 1,
    "timer": 1,
    "memory": 1,
    "stream": 2,
    "sse": 2,
    "observe": 2,
    "wire": 3,
    "models": 3,
    "core": 4,
    "runs": 5,
    "workflows": 5,
    "utils": 6,
    "api": 7,
    "server": 8,
    "cli": 9,
    "testing": 10,
    "__main__": 11,
}
# `settings` reports in `errors`' terms; both are leaves.
SAME_FLOOR = {("settings", "errors")}

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "launchpad":
                names = [f"launchpad.{alias.name}" for alias in node.names]
            else:
                names = [node.module or ""]
        for name in names:
            parts = name.split(".")
            if parts[0] == "launchpad" and len(parts) > 1 and not parts[1].startswith("__version"):
                yield parts[1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_fall_one_way(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    for imported in imports_of(path):
        allowed = (
            imported == room or FLOORS[imported] < FLOORS[room] or (room, imported) in SAME_FLOOR
        )
        assert allowed, f"{room} (floor {FLOORS[room]}) imports {imported} ({FLOORS[imported]})"


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path) for path in FILES} - {"__init__"}
    assert rooms <= FLOORS.keys()


def test_utils_holds_the_one_file_that_the_documents_name() -> None:
    files = {path.name for path in (PACKAGE / "utils").glob("*.py")}
    assert files == {"__init__.py", "event_stream_generator.py"}
