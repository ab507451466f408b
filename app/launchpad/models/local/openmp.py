"""GNU's OpenMP library for llama.cpp, where the system has none.

llama.cpp's wheel counts on the system's `libgomp.so.1`, which a bare machine (Debian's slim images)
lacks. Wheels of other packages carry it: one that is installed is asked first, else one file out of
`treelite`, the smallest that fits every Python, is fetched like the weights.
"""

from __future__ import annotations

import os
import platform
import shutil
import sysconfig
from pathlib import Path

from launchpad.errors import ConfigurationError
from launchpad.models.local.fetched import cache_dir, fetched

__all__ = ["LIBRARY", "REQUIREMENT", "environment"]

LIBRARY = "libgomp.so.1"
REQUIREMENT = (
    "treelite==4.8.1 "
    "--hash=sha256:fc63ee75e5b262a8b68cb141af169daf702f6da96fc0c661795c49ac75a04607 "
    "--hash=sha256:f18eb03f942f414f7a2eca9d8ee1700dbba855dd5448eae73a330336b41606d3"
)
"""The wheels for x86-64 and ARM, as uv.lock has them."""
_BUNDLED = "*.libs/libgomp-*.so*"
"""Where auditwheel puts a library that a wheel brings along, and how it names it."""


def environment() -> dict[str, str]:
    """The environment of this process, so changed that the library is found where it was not.

    Raises `ConfigurationError` where there is none and none can be fetched.
    """
    folder = str(_folder())
    before = os.environ.get("LD_LIBRARY_PATH")
    return {**os.environ, "LD_LIBRARY_PATH": f"{folder}:{before}" if before else folder}


def _folder() -> Path:
    """A folder with the library by its own name: the loader asks for no other."""
    # Homes are shared between machines.
    target = cache_dir() / f"openmp-{platform.machine()}" / LIBRARY
    try:
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            _provide(target)
    except (OSError, ConfigurationError) as error:
        raise ConfigurationError(_missing(str(error))) from error
    return target.parent


def _provide(target: Path) -> None:
    found = next(Path(sysconfig.get_path("platlib")).glob(_BUNDLED), None)
    if found is None:
        fetched(target, requirement=REQUIREMENT, file=_BUNDLED, what="GNU's OpenMP library (1 MB)")
        return
    # Another process may look for it meanwhile: it gets its name when it is whole.
    copy = target.with_name(f"{LIBRARY}.{os.getpid()}")
    shutil.copyfile(found, copy)
    copy.replace(target)


def _missing(reason: str) -> str:
    return (
        f"The local model's llama.cpp needs GNU's OpenMP library, {LIBRARY}, "
        "which this system lacks. "
        "Install it (Debian, Ubuntu: apt install libgomp1; Fedora: dnf install libgomp), "
        f"or choose another model with --model.\n{reason}"
    )
