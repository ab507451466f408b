"""What `launchpad serve` prints when it is ready."""

from __future__ import annotations

from importlib.metadata import version

from rich.console import Console
from rich.table import Table
from rich.text import Text

from launchpad.cli.readiness import Readiness
from launchpad.settings import Settings
from launchpad.workflows.catalog import Catalog

__all__ = ["show"]


def show(catalog: Catalog, readiness: Readiness, url: str, settings: Settings) -> None:
    """Print the address, the models, what is not served and why, and a curl line to copy."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"\n[bold]Launchpad {version('launchpad')}[/] on [bold cyan]{url}[/]\n")
    table = Table.grid(padding=(0, 2))
    for served in catalog.served:
        note = " (default)" if served.id == catalog.default_id else ""
        row = Text(served.description)
        row.append(note, style="dim")
        table.add_row("", Text(served.id, style="bold"), row)
        if served.id in readiness.problems:
            table.add_row("", "", Text(readiness.problems[served.id], style="yellow"))
    console.print("Models" if catalog.served else "No workflow can be served over chat.")
    console.print(table)
    if catalog.left_out:
        console.print("\nNot served over chat")
        for left in catalog.left_out:
            console.print(Text(f"  {left.id}: {left.obstacle}"))
    if catalog.served:
        console.print(f"\nTry\n{_curl(catalog, url, settings)}", markup=False)
    console.print("\nCtrl-C stops it.", style="dim")


def _curl(catalog: Catalog, url: str, settings: Settings) -> str:
    model = "default" if catalog.default_id else catalog.served[0].id
    keyed = bool(settings.api_keys or settings.api_keys_file)
    key = ' -H "Authorization: Bearer $YOUR_KEY"' if keyed else ""
    reachable = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    return (
        f'  curl -N {reachable}/v1/chat/completions -H "Content-Type: application/json"{key} \\\n'
        f'    -d \'{{"model": "{model}", "stream": true, '
        '"messages": [{"role": "user", "content": "Hello, how are you?"}]}\''
    )
