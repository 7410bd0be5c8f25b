"""What the two ways to TensorFlow Serving, gRPC and REST, have in common.

Both raise Failure with gRPC's name for the status: the server's REST side translates each to the
HTTP status of the same meaning. gRPC repeats what may pass by its retryPolicy
(https://github.com/grpc/proposal/blob/master/A6-client-retries.md); the client repeats the rest.
"""

from __future__ import annotations

import os
import re
import urllib.request
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

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


def split_login(address: str) -> tuple[str, tuple[str, str] | None]:
    """Return an address without its login, which no message may hold, and the login.

    Args:
        address: Such as "https://USER:PASSWORD@HOST:PORT", with `%` escapes.

    Returns:
        "https://HOST:PORT" and (user, password); None if there is no login.
    """
    match = re.fullmatch(r"((?:https?://)?)([^/]*)@(.*)", address)
    if match is None:
        return address, None
    user, _, password = match[2].partition(":")
    return match[1] + match[3], (unquote(user), unquote(password))


def find_proxy(address: str) -> str | None:
    """Return what to say of the proxy that the environment sets for an address, if it sets one.

    gRPC and requests connect through it without a word.
    """
    if address.startswith(("http://", "https://")):
        url = urlsplit(address)
        host = url.hostname or ""
        names = [name for kind in (url.scheme, "all") for name in _both_cases(f"{kind}_proxy")]
        exceptions = _both_cases("no_proxy")
    else:  # gRPC knows the names in small letters alone
        host = address.rpartition(":")[0].strip("[]")
        names = ["grpc_proxy", "https_proxy", "http_proxy"]
        exceptions = ["no_grpc_proxy", "no_proxy"]
    found = next(((name, os.environ[name]) for name in names if os.environ.get(name)), None)
    bypassed = next((os.environ[name] for name in exceptions if os.environ.get(name)), "")
    if found is None or urllib.request.proxy_bypass_environment(host, {"no": bypassed}):
        return None
    name, value = found
    return (
        f"The environment variable {name} sends requests through the proxy "
        f"{split_login(value)[0]}; for a direct connection add {host} to no_proxy."
    )


def _both_cases(name: str) -> list[str]:
    return [name, name.upper()]
