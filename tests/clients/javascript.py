"""JavaScript clients: a module of scenarios each, run by node in one process."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from pathlib import Path

from .programs import Told, absent, prepare

HERE = Path(__file__).parent / "node"
INSTALLED = HERE / "node_modules" / ".package-lock.json"
OLDEST_NODE = 18  # Debian 12's


def install() -> str:
    """Install the JavaScript clients with `npm ci`, once; the path of node.

    Skips (fails in CI) where node or npm is missing or too old, or the packages can't be had.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        absent("node and npm are not installed", ci_has_it=True)
    version = subprocess.run([str(node), "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.strip().lstrip("v").split(".")[0]) < OLDEST_NODE:
        absent(f"node is older than {OLDEST_NODE}", ci_has_it=True)
    lock = HERE / "package-lock.json"
    with (HERE / ".install.lock").open("w") as guard:
        # Two suites at once (on two Pythons, say) install one after the other.
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not INSTALLED.is_file() or INSTALLED.stat().st_mtime < lock.stat().st_mtime:
            prepare(
                [str(npm), "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
                "npm cannot install the JavaScript clients",
                cwd=HERE,
                ci_has_it=True,
            )
    return str(node)


def run(module: str, **facts: str) -> Told:
    """Run every scenario that `module` (a file in `node/`) exports, each with `facts`."""
    done = subprocess.run(
        [install(), "run.mjs", module, json.dumps(facts)],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Told(json.loads(done.stdout))
