"""Imports what a person names: a module, or a file, with errors that a person can act on."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from launchpad.errors import ConfigurationError, LaunchpadError

__all__ = ["import_place", "split_target"]


def import_place(place: str) -> ModuleType:
    """The module of a dotted name, or of a .py file. It is imported once.

    Raises `ConfigurationError` where there is none or its code fails, with the line of it.
    """
    if place.endswith(".py") or "/" in place or "\\" in place:
        return _import_file(place)
    return _import_module(place)


def split_target(target: str) -> tuple[str, str | None]:
    """Split `place:attribute`; a drive letter's colon is not one."""
    place, colon, attribute = target.rpartition(":")
    if colon and len(place) > 1 and all(part.isidentifier() for part in attribute.split(".")):
        return place, attribute
    return target, None


def _import_module(name: str) -> ModuleType:
    # As `python -m` has it: what lies in the working directory can be imported.
    _put_on_path(Path.cwd())
    if not all(part.isidentifier() for part in name.split(".")):
        raise ConfigurationError(
            f"{name!r} is neither a module nor a file. Write module, module:attribute or file.py."
        )
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            near = difflib.get_close_matches(name, [file.stem for file in Path().glob("*.py")], 1)
            hint = f" Did you mean {near[0]}.py?" if near else ""
            raise ConfigurationError(
                f"There is no module {error.name!r}, neither installed nor in {Path.cwd()}.{hint}"
            ) from error
        raise _broken(name, error) from error
    except (Exception, SystemExit) as error:
        raise _broken(name, error) from error


def _import_file(place: str) -> ModuleType:
    path = Path(place).expanduser().resolve()
    if path.is_dir():
        raise ConfigurationError(
            f"{place} is a directory. Name the file in it that has the workflows."
        )
    if not path.is_file():
        raise ConfigurationError(f"There is no file {place} (looked for {path}).")
    if path.suffix != ".py":
        raise ConfigurationError(f"{place} is not a Python file (.py).")
    name, root = _dotted_name(path)
    _put_on_path(root)
    known = sys.modules.get(name)
    if known is not None and not _is_of(known, path):
        # A file of the name of something imported already (json.py): it gets a name of its own.
        name = f"launchpad_target_{name}".replace(".", "_")
        known = sys.modules.get(name)
    if known is not None and _is_of(known, path):
        return known
    if "." in name:
        return _import_module(name)
    return _execute(name, path)


def _execute(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{path} cannot be imported.")
    module = importlib.util.module_from_spec(spec)
    # Annotations are resolved by the module's name, so it must be known while it runs.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        sys.modules.pop(name, None)
        raise _broken(str(path), error) from error
    return module


def _dotted_name(path: Path) -> tuple[str, Path]:
    """The file's module name and the folder to import it from; packages count."""
    parts = [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        parts.insert(0, folder.name)
        folder = folder.parent
    if path.stem == "__init__" and len(parts) > 1:
        parts.pop()
    return ".".join(parts), folder


def _is_of(module: ModuleType, path: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve() == path


def _put_on_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _broken(target: str, error: BaseException) -> ConfigurationError:
    """An error out of the user's own code, with the line of it that is to blame."""
    if isinstance(error, SyntaxError):
        where = f"{error.filename}, line {error.lineno}"
        return ConfigurationError(f"{target} cannot be imported. {where}: {error.msg}")
    if isinstance(error, SystemExit):
        what = (
            "it ends the program when it is imported; put that below `if __name__ == '__main__':`"
        )
    elif isinstance(error, LaunchpadError):
        what = str(error)
    else:
        what = f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_users(frame.filename)]
    where = f" {own[-1].filename}, line {own[-1].lineno}:" if own else ""
    code = f"\n    {own[-1].line}" if own and own[-1].line else ""
    return ConfigurationError(f"{target} cannot be imported.{where} {what}{code}")


def _is_users(filename: str) -> bool:
    path = Path(filename)
    ours = Path(__file__).parents[1]
    return (
        path.is_file()
        and "site-packages" not in path.parts
        and not path.is_relative_to(ours)
        and not path.is_relative_to(sys.base_prefix)
    )
