"""The other commands, and the help."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from launchpad.cli import commands
from launchpad.events import RunEvent
from launchpad.settings import Settings

from .conftest import environment, launchpad


def test_help_names_the_commands(tmp_path: Path) -> None:
    done = launchpad("--help", cwd=tmp_path)
    assert done.returncode == 0
    for command in ("serve", "run", "new"):
        assert command in done.stdout


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from launchpad.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    heavy = {"pydantic", "pydantic_ai", "pydantic_settings", "fastapi", "starlette", "uvicorn"}
    assert "Usage" in done.stdout
    assert not heavy & set(done.stderr.split())


def test_the_server_has_imported_what_its_first_request_needs(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from launchpad.cli.server import build_app\n"
        "build_app()\n"
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment(),
    )
    assert {"pydantic_ai.models.openai", "launchpad.models.local"} <= set(done.stdout.split())


def test_help_of_serve_teaches(tmp_path: Path) -> None:
    done = launchpad("serve", "--help", cwd=tmp_path)
    assert "curl -N http://127.0.0.1:8080/v1/chat/completions" in done.stdout
    assert "WorkflowRegistry" in done.stdout


def test_the_defaults_that_the_help_names_are_the_settings_defaults() -> None:
    fields = Settings.model_fields
    for name in ("host", "port", "log_level", "model", "workers"):
        shown = f"[default: {fields[name].default}]"
        assert shown in Path(commands.__file__).read_text(encoding="utf-8"), name


def test_version(tmp_path: Path) -> None:
    done = launchpad("--version", cwd=tmp_path)
    assert done.stdout.split()[0] == "launchpad"
    assert done.returncode == 0


def test_run_prints_the_words(flows: Path) -> None:
    done = launchpad("run", "echo", "hello there", "--target", "flows.py", cwd=flows.parent)
    assert done.returncode == 0
    assert done.stdout.startswith("hello there (process ")
    assert done.stderr == ""


def test_run_prints_events_as_json(flows: Path) -> None:
    done = launchpad("run", "echo", "hi", "--target", "flows", "--json", cwd=flows.parent)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event[RunEvent.__struct_config__.tag_field or ""] for event in events]
    assert kinds[0] == "RunStarted"
    assert kinds[-1] == "RunFinished"
    assert events[0]["request"]["messages"][0]["content"] == "hi"
    shown = re.search(r"jq \.(\w+)", launchpad("run", "--help", cwd=flows.parent).stdout)
    assert shown is not None
    assert events[0][shown[1]] == "RunStarted"


@pytest.mark.parametrize(
    ("workflow", "words"), [("nope", "echo"), ("parcel", "parcel")], ids=["unknown", "not a chat"]
)
def test_run_says_which_workflows_there_are(flows: Path, workflow: str, words: str) -> None:
    done = launchpad("run", workflow, "hi", "--target", "flows.py", cwd=flows.parent)
    assert done.returncode == 1
    assert done.stdout == ""
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_run_says_why_a_workflow_takes_no_message(flows: Path) -> None:
    done = launchpad("run", "parcel", "hi", "--target", "flows.py", cwd=flows.parent)
    assert done.stderr == (
        "launchpad: parcel takes no message: its event_schema Parcel does not derive from "
        "OpenAIChatSchema and has no from_chat(request) classmethod. In Python, use run(…) "
        "of ParcelWorkflow.\n"
    )


def test_run_does_not_want_what_a_servers_settings_name(flows: Path) -> None:
    flows.with_name(".env").write_text(
        "LAUNCHPAD_DEFAULT_WORKFLOW=elsewhere\nLAUNCHPAD_MODEL_ALIASES=gpt-4o=elsewhere\n"
    )
    done = launchpad("run", "echo", "hi", "--target", "flows.py", cwd=flows.parent)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_variable_that_is_no_setting_is_told_with_the_nearest_one(flows: Path) -> None:
    flows.with_name(".env").write_text("launchpad_debounse=0\nOPENAI_API_KEY=k\n")
    own = {"LAUNCHPAD_API_KEY": "me=secret", "LAUNCHPAD_QQ": "1", "LAUNCHPAD_TARGET": "x"}
    done = launchpad("run", "echo", "hi", "--target", "flows.py", cwd=flows.parent, **own)
    assert done.returncode == 0
    told = [line.partition(" LAUNCHPAD_")[2] for line in done.stderr.splitlines()]
    assert sorted(told) == [
        "API_KEY is no setting and is ignored; did you mean LAUNCHPAD_API_KEYS?",
        "DEBOUNSE is no setting and is ignored; did you mean LAUNCHPAD_DEBOUNCE?",
        "QQ is no setting and is ignored; launchpad/settings.py has them all.",
    ]
    assert "secret" not in done.stderr


def test_run_refuses_a_model_that_cannot_be(flows: Path) -> None:
    done = launchpad("run", "chat", "hi", "--model", "bogus", cwd=flows.parent)
    assert done.returncode == 1
    assert "'bogus' names no known model provider" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_of_a_failing_workflow(flows: Path) -> None:
    flows.write_text(flows.read_text().replace('yield word + " "', "raise ValueError('inside')"))
    done = launchpad("run", "echo", "hi", "--target", "flows.py", cwd=flows.parent)
    assert done.returncode == 1
    assert "EchoNode" in done.stderr


OWN_SCHEMA = """
class Chat(OpenAIChatSchema):
    tone: str = "kind"

class Strict(OpenAIChatSchema):
    tone: str
    order: int

class Ticket(BaseModel):
    number: int

    @classmethod
    def from_chat(cls, request):
        {body}

class Say(Node):
    async def process(self, task_context):
        event = task_context.event
        yield f"{{event.tone}}: {{event.get_message()}}"

def flow(schema):
    return WorkflowSchema(event_schema=schema, start=Say)

class SayWorkflow(Workflow):
    workflow_schema = flow(Chat)

class StrictWorkflow(Workflow):
    workflow_schema = flow(Strict)

class TicketWorkflow(Workflow):
    workflow_schema = flow(Ticket)

class Own(Enum):
    SAY = SayWorkflow
    STRICT = StrictWorkflow
    TICKET = TicketWorkflow
"""


def with_own_schemas(flows: Path, body: str = "return cls(number=1)") -> Path:
    flows.write_text(flows.read_text() + OWN_SCHEMA.format(body=body))
    return flows.parent


def test_run_of_a_workflow_whose_schema_is_a_chat_of_its_own(flows: Path) -> None:
    folder = with_own_schemas(flows)
    done = launchpad("run", "say", "Hello", "--target", "flows.py:Own", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "kind: Hello\n", "")


@pytest.mark.parametrize(
    ("workflow", "body", "said"),
    [
        (
            "strict",
            "...",
            (
                "A message alone makes no Strict of strict: "
                "tone: Field required; order: Field required."
            ),
        ),
        (
            "ticket",
            "raise ValueError('no\\nnumber')",
            "Ticket.from_chat made nothing of the message: ValueError: no number",
        ),
        (
            "ticket",
            "return cls(number=request.get_message())",
            (
                "Ticket.from_chat made nothing of the message: ValidationError: number: Input "
                "should be a valid integer, unable to parse string as an integer."
            ),
        ),
        (
            "ticket",
            "return {'number': 'x'}",
            (
                "The event does not fit Ticket: Invalid type for 'number': expected an integer, "
                "but got a string instead."
            ),
        ),
        (
            "ticket",
            "from launchpad.errors import RequestError; raise RequestError('say a number')",
            "say a number",
        ),
        (
            "ticket",
            "return 5",
            "TicketWorkflow: Ticket.from_chat gave int; it has to return a Ticket.",
        ),
    ],
)
def test_run_where_the_message_makes_no_event_says_so_in_one_line(
    flows: Path, workflow: str, body: str, said: str
) -> None:
    folder = with_own_schemas(flows, body)
    done = launchpad("run", workflow, "Hello", "--target", "flows.py:Own", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"launchpad: {said}\n")


def test_new_makes_a_project_whose_test_passes(tmp_path: Path) -> None:
    done = launchpad("new", "my shop", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "cd 'my shop'" in done.stdout
    project = tmp_path / "my shop"
    assert (project / "README.md").read_text().startswith("# my-shop\n")
    assert tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"] == []
    tested = subprocess.run(
        # The plugin of a library that is only here warns on Python 3.14, as its import does.
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:langsmith_plugin"],
        cwd=project,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout
    assert "1 passed" in tested.stdout
    again = launchpad("new", "my shop", cwd=tmp_path)
    assert again.returncode == 1
    assert "not empty" in again.stderr
