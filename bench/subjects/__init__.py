"""What is measured: each subject's program, environment and requests."""

from bench.subjects.registry import SERVERS, SUBJECTS, ServerKind, Subject

__all__ = ["SERVERS", "SUBJECTS", "ServerKind", "Subject"]
