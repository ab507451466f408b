"""`python -m launchpad`, the same as the command `launchpad`."""

from launchpad.cli import main

if __name__ == "__main__":
    main()
