"""The local model where the system's OpenMP library cannot be loaded."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from tests.models_local.conftest import why_no_model

from launchpad.errors import ConfigurationError
from launchpad.models.local import openmp
from launchpad.models.local.server import LocalServer
from launchpad.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system whose library is none; where Launchpad's cache is."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / openmp.LIBRARY).write_bytes(b"no library")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path / "lib"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "launchpad"


def test_the_hashes_are_the_locked_ones() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    [package] = [entry for entry in lock["package"] if entry["name"] == "treelite"]
    name, *hashes = openmp.REQUIREMENT.split()
    assert name == f"treelite=={package['version']}"
    linux = {f"--hash={one['hash']}" for one in package["wheels"] if "linux" in one["url"]}
    assert set(hashes) == linux


@pytest.mark.local_model
def test_the_model_starts_with_the_library_of_a_wheel(broken: Path) -> None:
    if reason := why_no_model():
        pytest.skip(reason)
    server = LocalServer(Settings(local_parallel=1, local_context=256))
    try:
        assert server.endpoint().base_url.startswith("http://127.0.0.1:")
    finally:
        server.stop()
    assert [path.name for path in broken.glob("openmp-*/libgomp*")] == [openmp.LIBRARY]


def test_where_none_is_to_be_had_the_message_says_what_to_install(
    broken: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    for name in ("PIP_NO_INDEX", "UV_NO_INDEX", "UV_OFFLINE"):
        monkeypatch.setenv(name, "1")
    wrong = openmp.REQUIREMENT.split("sha256:")[0] + "sha256:" + "0" * 64
    monkeypatch.setattr(openmp, "REQUIREMENT", wrong)
    with pytest.raises(
        ConfigurationError, match=r"apt install libgomp1(?s:.*)could not be fetched"
    ):
        openmp.environment()
