"""What the two ways to TensorFlow Serving, gRPC and REST, have in common.

Both raise Failure with gRPC's name for the status: the server's REST side translates each to the
HTTP status of the same meaning. gRPC repeats what may pass by its retryPolicy
(https://github.com/grpc/proposal/blob/master/A6-client-retries.md); the client repeats the rest.
"""

from __future__ import annotations

from typing import NamedTuple

SIGNATURE = "serving_default"
INPUT, OUTPUT = "sentences", "embeddings"
# Statuses that may pass, whether or not the library repeats them itself.
TRANSIENT = {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED"}
FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0  # seconds


class Failure(Exception):
    """A call that failed.

    Attributes:
        code: gRPC's name of the status, as "UNAVAILABLE".
        message: the server's, or that of the connection.
        attempts: how often the transport sent the request.
    """

    def __init__(self, code: str, message: str, attempts: int = 1):
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.attempts = code, message, attempts


class Version(NamedTuple):
    """What the server tells of one version of a model."""

    version: int
    state: str  # START, LOADING, AVAILABLE, UNLOADING or END
    error: str  # "" if it could be loaded
