"""`ExampleStreamingWorkflow`, registered as `WorkflowRegistry.STREAMING`."""

from typing import ClassVar

from launchpad.core.schema import NodeConfig, WorkflowSchema
from launchpad.core.workflow import Workflow
from launchpad.workflows.examples.streaming.nodes.structured_streaming_node import (
    StructuredStreamingNode,
)
from launchpad.workflows.examples.streaming.nodes.text_streaming_node import TextStreamingNode
from launchpad.workflows.examples.streaming.schema import OpenAIChatSchema


class ExampleStreamingWorkflow(Workflow):
    """Answers in words, then as an object. Streams even where the request names no `stream`."""

    stream_by_default: ClassVar[bool] = True
    workflow_schema = WorkflowSchema(
        description="SSE streaming example with text and structured output",
        event_schema=OpenAIChatSchema,
        start=TextStreamingNode,
        nodes=[
            NodeConfig(node=TextStreamingNode, connections=[StructuredStreamingNode]),
            NodeConfig(node=StructuredStreamingNode, connections=[]),
        ],
    )
