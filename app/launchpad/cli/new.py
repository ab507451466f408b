"""`launchpad new`: a small project that runs, with a test that passes."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from importlib.resources import as_file, files
from pathlib import Path
from string import Template

from launchpad.errors import ConfigurationError

__all__ = ["create_project"]

FILES = {
    "workflows.py": "workflows.py",
    "tests/test_workflows.py": "test_workflows.txt",
    "README.md": "README.md",
    "pyproject.toml": "pyproject.toml",
    ".gitignore": "gitignore",
}
"""What is written, and which template it is made from."""


def create_project(folder: Path) -> None:
    """Make the project in `folder`, which must be new or empty, and print what to do next.

    Raises `ConfigurationError` where the folder has something in it.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(f"{folder} is there already and not empty. Name another folder.")
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "project"
    with as_file(files("launchpad.cli") / "template") as template:
        for target, source in FILES.items():
            path = folder / target
            path.parent.mkdir(parents=True, exist_ok=True)
            text = (template / source).read_text(encoding="utf-8")
            path.write_text(Template(text).safe_substitute(name=name), encoding="utf-8")
    print(
        f"{folder} has a workflow (workflows.py), its test and a README. Next:\n\n"
        f"  cd {shlex.quote(str(folder))}\n"
        f"  {_command()} serve workflows.py\n"
    )


def _command() -> str:
    """What to type for `launchpad` in any folder: as it is in a checkout, it is not on the PATH."""
    if shutil.which("launchpad"):
        return "launchpad"
    beside = Path(sys.executable).with_name("launchpad")
    return shlex.quote(str(beside)) if beside.exists() else f"{sys.executable} -m launchpad"
