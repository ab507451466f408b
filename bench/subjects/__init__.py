"""What is measured: each subject's program, environment and requests."""

from bench.subjects.registry import SUBJECTS, Subject
from bench.subjects.servers import SERVERS, ServerKind

__all__ = ["SERVERS", "SUBJECTS", "ServerKind", "Subject"]
