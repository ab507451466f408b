"""The command `launchpad`: `serve`, `run`, `new`."""

__all__ = ["main"]


def main() -> None:
    """Run the command line. A `LaunchpadError` becomes one line on stderr and exit code 1."""
    from launchpad.cli.commands import app  # what imports the package need not pay for it
    from launchpad.errors import LaunchpadError

    try:
        app(prog_name="launchpad")
    except LaunchpadError as error:
        import sys

        print(f"launchpad: {error}", file=sys.stderr)
        sys.exit(1)
