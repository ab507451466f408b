"""The end of a generator that nobody reads to its end, and of those that it hands on from.

A node's `process` often passes another generator's items on (`async for chunk in
super().process(task_context): yield chunk`). Python closes only the outer one; the inner one falls
to the event loop, which closes it later and in another task, where `agent.run_stream` breaks. So
they are closed here, innermost first, in the task that owns them.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from launchpad.stream.failure import forget

__all__ = ["close"]


async def close(words: AsyncIterator[Any]) -> None:
    """End `words`, suspended at a `yield` or ended already. Raises what its clean-up raises."""
    for one in reversed(_handed_on(words)):
        await _end(one)


async def _end(words: AsyncIterator[Any]) -> None:
    """End one generator as a cancellation would.

    Thrown in rather than closed: on Python 3.13.0 `aclose()` of a generator inside
    `async with agent.run_stream(…)` raises "coroutine ignored GeneratorExit".
    """
    athrow = getattr(words, "athrow", None)
    if athrow is not None:
        try:
            await athrow(asyncio.CancelledError())
        except asyncio.CancelledError as error:
            forget(error)
            return
        except StopAsyncIteration:
            return
    aclose = getattr(words, "aclose", None)
    if aclose is not None:
        await aclose()


def _handed_on(words: AsyncIterator[Any]) -> list[AsyncIterator[Any]]:
    """`words`, the generator that it reads from, the one that this reads from, and so on."""
    chain = [words]
    while inspect.isasyncgen(chain[-1]) and (inner := _own_inner(chain[-1])) is not None:
        chain.append(inner)
    return chain


def _own_inner(outer: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any] | None:
    """The suspended generator that `outer`'s frame holds and nobody else does."""
    # What an `async for` reads from is in no variable, but it is on the frame's stack.
    held = gc.get_referents(outer)
    for one in held:
        if inspect.isasyncgen(one) and one.ag_frame is not None and not one.ag_running:
            # Each reference of the frame is one in `held` too; `one` and the argument are two.
            references = sum(other is one for other in held)
            if sys.getrefcount(one) <= 2 * references + 2:
                return one
    return None
