"""What holds for every test."""

import atexit
import os
import shutil
import tempfile

from hypothesis import HealthCheck, settings

# A busy machine is no failure: hypothesis times each example, and the first one of a fresh checkout
# makes its tables of characters.
settings.register_profile("launchpad", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("launchpad")

# Tests start more than a hundred Python processes. Where no bytecode may lie beside the sources,
# each of them would compile all that it imports: more work than the rest of its start.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    os.environ["PYTHONPYCACHEPREFIX"] = tempfile.mkdtemp(prefix="launchpad-bytecode-")
    atexit.register(shutil.rmtree, os.environ["PYTHONPYCACHEPREFIX"], ignore_errors=True)
