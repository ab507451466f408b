"""`SdkImports`: other providers' SDKs are imported in a thread, not on the loop that streams."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import Future
from typing import TYPE_CHECKING

from launchpad.core.threads import in_thread
from launchpad.models.override import model_override

if TYPE_CHECKING:
    from launchpad.core.nodes.base import Node

__all__ = ["SdkImports"]

logger = logging.getLogger("launchpad.run")


class SdkImports:
    """Whether nodes of one class may run without an import that takes seconds.

    The start does it for those that are served, without waiting; a request that comes meanwhile,
    or in an app whose lifespan nobody runs, waits for it as for anything else.
    """

    __slots__ = ("_under_way", "done")

    def __init__(self) -> None:
        self.done = False
        self._under_way: Future[None] | None = None

    async def wait_for(self, node: Node) -> None:
        """Have what `node`'s model is read by imported; what fails there, its own run will say.

        One of those that come at once does it, in whatever loop; the others wait for that one.
        """
        if model_override.get() is not None:
            return
        while not self.done:
            if (under_way := self._under_way) is not None:
                # Shielded: who leaves must not end it for the others.
                await asyncio.shield(asyncio.wrap_future(under_way))
                continue
            mine = self._under_way = Future()
            try:
                await self._import_for(node)
                self.done = True
            finally:
                self._under_way = None
                mine.set_result(None)

    async def _import_for(self, node: Node) -> None:
        try:
            if node.imports_sdk():
                # Built where no loop keeps it: only its imports are of use.
                await in_thread(node.prepare)
        except Exception as error:  # noqa: BLE001 - the user's code
            logger.debug("not prepared: %s", error)
