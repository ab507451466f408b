"""The commands, their options and their help.

What they do is imported when they are called: `launchpad --help` must not wait for FastAPI.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    name="launchpad",
    help="Python workflows as streaming model endpoints.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

SERVE_HELP = """Serve workflows to any OpenAI client.

TARGET is a module (shop.flows), an attribute of one (shop.flows:WorkflowRegistry), or a file
(flows.py). Its registry is served: an Enum whose members are Workflow classes, else the Workflow
classes that it defines. Model ids are the members' names in lower case. `default`, or no model at
all, means the only workflow, or the one that LAUNCHPAD_DEFAULT_WORKFLOW names (`streaming`, unless
it is set). Without TARGET the workflows that come with Launchpad are served.

\b
  launchpad serve
      the examples, on the model inside this machine: no key, no account
  launchpad serve flows.py --reload
      your own workflows, started anew when a file changes
  launchpad serve --model openai:gpt-5.4-mini
      the examples on OpenAI (OPENAI_API_KEY, OPENAI_BASE_URL)
  LAUNCHPAD_API_KEYS=me=secret launchpad serve shop.flows --host 0.0.0.0 --workers 4
      for others: beyond this machine keys are needed

\b
Then, from anywhere on this machine:
  curl -N http://127.0.0.1:8080/v1/chat/completions -H "Content-Type: application/json" \\
    -d '{"model": "default", "messages": [{"role": "user", "content": "Hello"}]}'

Every option can be set as LAUNCHPAD_<NAME> in the environment or in a file .env, and so can
LAUNCHPAD_DEFAULT_WORKFLOW, LAUNCHPAD_MODEL_ALIASES, LAUNCHPAD_DEBOUNCE, LAUNCHPAD_HEARTBEAT,
LAUNCHPAD_SEND_TIMEOUT, LAUNCHPAD_SHUTDOWN_GRACE and all others of launchpad/settings.py.
"""

RUN_HELP = """Run one workflow here in the terminal; its words are printed as they are made.

\b
  launchpad run chat "What is a workflow?"
  launchpad run answer "Where is my parcel?" --target flows.py
  launchpad run streaming "Hello" --json | jq .kind
"""

NEW_HELP = """Start a project: one workflow, its test, a README.

\b
  launchpad new shop
  cd shop
  launchpad serve workflows.py
"""

Target = Annotated[
    str | None,
    typer.Option("--target", "-t", help="Where the workflow is: a module or a file.", metavar="T"),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="The default model of the workflows that name none.  [default: local]",
        metavar="PROVIDER:NAME",
    ),
]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"launchpad {version('launchpad')}")
        raise typer.Exit


@app.callback()
def launchpad(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Python workflows as streaming model endpoints."""


@app.command(help=SERVE_HELP)
def serve(
    target: Annotated[
        str | None,
        typer.Argument(help="A module, module:attribute, or a file.", show_default=False),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="The address to listen on.  [default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="The port; 0 takes a free one.  [default: 8080]", min=0, max=65535),
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(
            help="From which level Launchpad and uvicorn log. Other loggers speak from warnings "
            "on, or from the level that your code sets on them.  [default: info]",
            metavar="trace|debug|info|warning|error|critical",
        ),
    ] = None,
    model: Model = None,
    allow_unauthenticated: Annotated[
        bool | None,
        typer.Option(
            "--allow-unauthenticated",
            help="Serve beyond this machine although no API key is set.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="How many processes serve.  [default: 1]", min=1)
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Start anew when a Python file here changes.")
    ] = False,
) -> None:
    """Serve workflows."""
    from launchpad.cli.serve import serve as run_server
    from launchpad.settings import load_settings

    settings = load_settings(
        host=host,
        port=port,
        log_level=log_level,
        model=model,
        allow_unauthenticated=allow_unauthenticated,
        workers=workers,
    )
    run_server(target, settings, reload=reload)


@app.command(help=RUN_HELP)
def run(
    workflow: Annotated[str, typer.Argument(help="The workflow's model id.")],
    message: Annotated[str, typer.Argument(help="What the user says.")],
    target: Target = None,
    model: Model = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the run's events, one JSON object a line.")
    ] = False,
) -> None:
    """Run a workflow."""
    from launchpad.cli.run import run as run_workflow
    from launchpad.settings import load_settings

    raise typer.Exit(
        run_workflow(workflow, message, target, load_settings(model=model), as_json=json)
    )


@app.command(help=NEW_HELP)
def new(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to make.")],
) -> None:
    """Start a project."""
    from launchpad.cli.new import create_project

    create_project(folder)
