"""What `launchpad.models.responses` leans on that pydantic-ai does not promise.

If one of these fails after an upgrade, that file is the one to change.
"""

from __future__ import annotations

import asyncio
import inspect

from pydantic_ai import Agent
from pydantic_ai.models import StreamedResponse
from pydantic_ai.models.test import TestModel


def test_a_response_keeps_its_one_iterator_where_we_look_for_it() -> None:
    async def main() -> None:
        async with Agent(TestModel()).run_stream("Hi") as result:
            await result.get_output()

    asyncio.run(main())
    assert "_event_iterator" in StreamedResponse.__dataclass_fields__
    assert "self._event_iterator" in inspect.getsource(StreamedResponse.__aiter__)


def test_the_abstract_method_is_the_one_we_define() -> None:
    assert "_get_event_iterator" in StreamedResponse.__abstractmethods__
