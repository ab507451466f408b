"""What `--reload` watches."""

from pathlib import Path

import pytest
import uvicorn

from launchpad.cli.reload import Reload, folders


def test_environments_and_caches_are_not_watched(tmp_path: Path) -> None:
    for name in ("flows.py", "shop/parcels.py", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    for name in (".venv/lib", "venv/lib/site-packages", "shop/__pycache__", "node_modules/x"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "other.py").touch()
    config = uvicorn.Config("app:app", reload=True, reload_dirs=[str(tmp_path)], log_config=None)
    watched = Reload(config, target=lambda _sockets: None, sockets=[]).iter_py_files()
    assert {path.relative_to(tmp_path).as_posix() for path in watched} == {
        "flows.py",
        "shop/parcels.py",
    }


def test_the_targets_own_folder_is_watched_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    monkeypatch.chdir(here)
    assert folders(None) == folders("shop.flows:Registry") == folders("flows.py") == [str(here)]
    assert folders("../there/flows.py:Registry") == [str(here), str(there)]
