"""`Catalog`: the workflows of a server by model id, and how a chat request becomes their event."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from pydantic import BaseModel

from launchpad.core.workflow import Workflow
from launchpad.errors import ConfigurationError, DefinitionError, UnknownModelError
from launchpad.models.override import model_override
from launchpad.settings import Settings
from launchpad.wire.openai_chat.parameters import Capabilities
from launchpad.wire.openai_chat.schema import OpenAIChatSchema
from launchpad.workflows.capabilities import capabilities_of
from launchpad.workflows.left_out import left_out_of
from launchpad.workflows.model_ids import Registry, members

__all__ = ["Catalog", "Registry", "ServedWorkflow"]

DEFAULT_ID = "default"

_capabilities: dict[tuple[type[Workflow], int, str], Capabilities] = {}


@dataclass(frozen=True)
class ServedWorkflow:
    """One workflow under its model id. `obstacle` says why it cannot be served over chat."""

    id: str
    workflow: type[Workflow]
    obstacle: str | None = None

    @property
    def description(self) -> str:
        """What the workflow says of itself."""
        return self.workflow.workflow_schema.description or ""

    @property
    def chat_schema(self) -> type[OpenAIChatSchema]:
        """What a chat request is validated as."""
        schema = self.workflow.workflow_schema.event_schema
        return schema if issubclass(schema, OpenAIChatSchema) else OpenAIChatSchema

    def capabilities(self, settings: Settings) -> Capabilities:
        """What a request may ask of the workflow. Found once: it builds every agent's config."""
        key = (self.workflow, settings.max_choices, settings.model)
        # A model that stands in is there for a test, and decides for itself.
        stands_in = model_override.get() is not None
        found = None if stands_in else _capabilities.get(key)
        if found is None:
            found = capabilities_of(self.workflow, settings)
            found = replace(found, choices=settings.max_choices)
            if not stands_in:
                _capabilities[key] = found
        return found

    def left_out(self, request: OpenAIChatSchema, settings: Settings) -> frozenset[str]:
        """The settings of the request that no model of the workflow is asked with."""
        return left_out_of(self.workflow, request.model_settings(), settings)

    def event(self, request: OpenAIChatSchema) -> Any:
        """The workflow's event for a chat request. What `from_chat` raises passes through.

        Raises `DefinitionError` where it gives nothing that could be an event.
        """
        schema = self.workflow.workflow_schema.event_schema
        if isinstance(request, schema):
            return request
        event: Any = cast("Any", schema).from_chat(request)
        if isinstance(event, (BaseModel, Mapping)):
            return cast("Any", event)
        if inspect.iscoroutine(event):
            event.close()
        raise DefinitionError(
            f"{self.workflow.__name__}: {schema.__name__}.from_chat gave {type(event).__name__}; "
            f"it has to return a {schema.__name__}."
        )


class Catalog:
    """Looks workflows up by model id: `default`, the ids themselves, then the aliases.

    `default` names the default workflow, where there is one of that name; `default_wanted`: there
    has to be. `aliases_wanted`: each alias's target has to be there. Raises `ConfigurationError`
    where one is not, and for what is no registry or has two workflows of one id.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        default: str | None = None,
        default_wanted: bool = False,
        aliases: Mapping[str, str] | None = None,
        aliases_wanted: bool = True,
    ) -> None:
        self._all = {name: _serve(name, workflow) for name, workflow in members(registry).items()}
        self._served = {name: one for name, one in self._all.items() if one.obstacle is None}
        if default_wanted and default not in self._served:
            raise ConfigurationError(
                f"LAUNCHPAD_DEFAULT_WORKFLOW names {default}, which is not served; there is "
                f"{', '.join(self._served) or 'nothing'}."
            )
        if default is not None and default not in self._served and len(self._served) == 1:
            # One workflow needs no naming.
            default = next(iter(self._served))
        self._default = default if default in self._served else None
        self._aliases = dict(aliases or {})
        for alias, target in self._aliases.items():
            if aliases_wanted and target not in self._served and target != DEFAULT_ID:
                raise ConfigurationError(
                    f"LAUNCHPAD_MODEL_ALIASES maps {alias} to {target}, which is not served; there "
                    f"is {self._known() or 'nothing'}."
                )

    @property
    def served(self) -> list[ServedWorkflow]:
        """What is served over chat, in the registry's order."""
        return list(self._served.values())

    @property
    def left_out(self) -> list[ServedWorkflow]:
        """What is not, each with its `obstacle`."""
        return [one for one in self._all.values() if one.obstacle is not None]

    @property
    def default_id(self) -> str | None:
        """The id that `default` stands for."""
        return self._default

    def find(self, asked: str | None) -> ServedWorkflow:
        """The workflow that answers to the model id `asked`; the default one where there is none.

        Raises `UnknownModelError`, listing the known.
        """
        name = model = DEFAULT_ID if asked is None else asked
        known = name in self._served or (name == DEFAULT_ID and self._default is not None)
        if not known:
            name = self._aliases.get(model, self._aliases.get("*", model))
        if name == DEFAULT_ID and self._default is not None:
            name = self._default
        served = self._served.get(name)
        if served is None:
            raise UnknownModelError(self._unknown(asked), param="model")
        return served

    def _unknown(self, asked: str | None) -> str:
        there_is = f"This server has: {self._known() or 'nothing'}."
        if asked not in {None, DEFAULT_ID}:
            return f"The model '{asked}' does not exist. {there_is}"
        what = "The request asks for" if asked else "The request names no model, which means"
        return (
            f"{what} the default workflow, and this server has none; name one in `model`. "
            f"{there_is} (LAUNCHPAD_DEFAULT_WORKFLOW sets the default.)"
        )

    def _known(self) -> str:
        names = [*self._served, *([DEFAULT_ID] if self._default else [])]
        return ", ".join(names)


def _serve(name: str, workflow: type[Workflow]) -> ServedWorkflow:
    schema = workflow.workflow_schema.event_schema
    return ServedWorkflow(name, workflow, _obstacle(schema) or _cannot_be_made(workflow))


def _cannot_be_made(workflow: type[Workflow]) -> str | None:
    """Why the workflow cannot be made anew for each request."""
    try:
        inspect.signature(workflow).bind()
    except TypeError as error:
        return (
            f"{workflow.__name__}() cannot be called without arguments ({error}); give the "
            "parameters of its __init__ defaults"
        )
    return None


def _obstacle(schema: type[BaseModel]) -> str | None:
    """Why no event of `schema` can be made of a chat request."""
    if issubclass(schema, OpenAIChatSchema):
        return None
    from_chat: object = getattr(schema, "from_chat", None)
    if not callable(from_chat):
        return (
            f"its event_schema {schema.__name__} does not derive from OpenAIChatSchema and has no "
            "from_chat(request) classmethod"
        )
    if inspect.isfunction(inspect.getattr_static(schema, "from_chat")):
        return f"{schema.__name__}.from_chat is a method of instances; make it a classmethod"
    if inspect.iscoroutinefunction(from_chat):
        return f"{schema.__name__}.from_chat is async; make it a plain classmethod"
    return None
