"""What to say where the environment names a SOCKS proxy, which model requests cannot go through."""

from __future__ import annotations

from launchpad.errors import MissingConfigurationError
from launchpad.models.http.route import socks_variable

__all__ = ["no_socks"]


def no_socks() -> MissingConfigurationError:
    """The error, not raised yet."""
    variable = socks_variable() or "HTTPS_PROXY"
    return MissingConfigurationError(
        f"The proxy in {variable} speaks SOCKS, which is not supported: set {variable} to the "
        "address of an HTTP proxy (http://…), or unset it. Hosts in NO_PROXY need none."
    )
