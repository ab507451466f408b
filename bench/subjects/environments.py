"""The peers' environments: each gets the newest versions of what it needs, away from ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

__all__ = ["ENVIRONMENTS", "PEERS", "python", "versions"]

PEERS = Path(__file__).resolve().parent.parent / ".peers"

ENVIRONMENTS: dict[str, list[str]] = {
    "tutorial": ["fastapi", "uvicorn[standard]", "openai"],
    "agent": ["fastapi", "uvicorn[standard]", "pydantic-ai-slim[openai]"],
    "litellm": ["litellm[proxy]"],
    "hayhooks": ["hayhooks"],
    "plot": ["matplotlib"],
}

_NAMED = (
    "launchpad", "litellm", "hayhooks", "haystack-ai", "pydantic-ai-slim", "openai", "fastapi",
    "starlette", "uvicorn", "uvloop", "httptools", "aiohttp", "msgspec", "pydantic",
)  # fmt: skip

_LIST = (
    "import json, sys, importlib.metadata as m\n"
    "found = {}\n"
    "for name in sys.argv[1:]:\n"
    "    try: found[name] = m.version(name)\n"
    "    except m.PackageNotFoundError: pass\n"
    "print(json.dumps(found))\n"
)


@cache
def python(environment: str | None) -> Path:
    """The interpreter of a peer's environment, which is built when it is missing.

    None is this process's own environment. `make bench` builds with the uv on PATH, else with
    `venv` and pip. Raises `subprocess.CalledProcessError` where a package does not install.
    """
    if environment is None:
        return Path(sys.executable)
    home = PEERS / environment
    interpreter = home / "bin" / "python"
    complete = home / ".complete"
    if complete.exists():
        return interpreter
    print(f"Building the environment of {environment} …", flush=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    packages = ENVIRONMENTS[environment]
    try:
        subprocess.run(
            ["uv", "venv", "-q", "--clear", "--python", sys.executable, home], check=True
        )
        subprocess.run(
            ["uv", "pip", "install", "-q", "--python", interpreter, *packages], check=True
        )
    except FileNotFoundError:
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        subprocess.run([interpreter, "-m", "pip", "install", "-q", *packages], check=True)
    complete.touch()
    return interpreter


def versions(environment: str | None) -> dict[str, str]:
    """The versions of the packages that matter, as installed there."""
    listed = subprocess.run(
        [python(environment), "-c", _LIST, *_NAMED],
        check=True, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ""},
    )  # fmt: skip
    found: dict[str, str] = json.loads(listed.stdout)
    return found
