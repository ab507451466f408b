"""What `launchpad serve` prints when it is ready."""

from __future__ import annotations

import logging
import os
import sys
from importlib.metadata import version

from rich.console import Console
from rich.text import Text

from launchpad.cli.readiness import Readiness
from launchpad.settings import Settings
from launchpad.workflows.catalog import Catalog

__all__ = ["show", "show_if_possible"]

logger = logging.getLogger("launchpad.server")


def show_if_possible(catalog: Catalog, readiness: Readiness, url: str, settings: Settings) -> None:
    """`show`; where nothing can be printed (a full disk, a closed pipe), the log says so."""
    try:
        show(catalog, readiness, url, settings)
        sys.stdout.flush()
    except (OSError, SystemExit) as error:  # rich ends the program where a pipe is closed
        # What could not be printed is kept, and would fail again at the end.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)
        reason = error.__context__ if isinstance(error, SystemExit) else error
        logger.warning("serving on %s; nothing can be printed on stdout: %s", url, reason)


def show(catalog: Catalog, readiness: Readiness, url: str, settings: Settings) -> None:
    """Print the address, the models, what is not served and why, and a curl line to copy."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"\n[bold]Launchpad {version('launchpad')}[/] on [bold cyan]{url}[/]\n")
    console.print("Models" if catalog.served else "No workflow can be served over chat.")
    width = max((len(served.id) for served in catalog.served), default=0)
    for served in catalog.served:
        line = Text(f"  {served.id:<{width}}", style="bold")
        line.append(f"  {served.description}", style="not bold")
        if served.id == catalog.default_id:
            line.append("  (default)", style="not bold dim")
        console.print(line)
        if served.id in readiness.problems:
            console.print(Text(f"  {'':<{width}}  {readiness.problems[served.id]}", style="yellow"))
    if catalog.served and catalog.default_id is None:
        console.print("  No default: requests name their model, or set LAUNCHPAD_DEFAULT_WORKFLOW.")
    if catalog.left_out:
        console.print("\nNot served over chat")
        for left in catalog.left_out:
            console.print(Text(f"  {left.id}: {left.obstacle}"))
    if catalog.served:
        console.print(f"\nTry\n{_curl(catalog, readiness, url, settings)}", markup=False)
    console.print("\nCtrl-C stops it.", style="dim")


def _curl(catalog: Catalog, readiness: Readiness, url: str, settings: Settings) -> str:
    able = [one.id for one in catalog.served if one.id not in readiness.problems]
    model = "default" if catalog.default_id else [*able, catalog.served[0].id][0]
    keyed = bool(settings.api_keys or settings.api_keys_file)
    key = ' -H "Authorization: Bearer $YOUR_KEY"' if keyed else ""
    reachable = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    return (
        f'  curl -N {reachable}/v1/chat/completions -H "Content-Type: application/json"{key} \\\n'
        f'    -d \'{{"model": "{model}", "stream": true, '
        '"messages": [{"role": "user", "content": "Hello, how are you?"}]}\''
    )
