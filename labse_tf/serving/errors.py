"""What can go wrong between a client and TensorFlow Serving, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from labse_tf.serving.templates import GRPC_PORT, REST_PORT
from labse_tf.serving.transports import Failure, Version, find_proxy

# gRPC's words for a message above its limit, and TensorFlow's for a batch above the memory.
_TOO_MUCH = re.compile(r"larger than max|OOM when|out of memory|allocat", re.IGNORECASE)
LOADING = ("START", "LOADING")  # states of a version that will be available


class ServingError(OSError):
    """The server gave no embeddings; the message says why and what to do."""


class ModelMissing(ServingError):
    """The server has no model of this name, or not this version."""


class OperationMissing(ServingError):
    """The server could not load the model: it was built without the tokenizer's operations."""


class ModelBroken(ServingError):
    """The server could not load the model, for another reason."""


class ModelLoading(ServingError):
    """The server is still loading the model."""


class QueueFull(ServingError):
    """The server has more requests than it takes."""


class ServerUnreachable(ServingError):
    """Nothing answers at the address, or something else than TensorFlow Serving."""


class RequestTimedOut(ServingError):
    """The server did not answer in time."""


class RequestRefused(ServingError):
    """The server does not accept the request, now or later."""


def explain(failure: Failure, model: str, address: str, timeout: float) -> ServingError:
    """The error of a failed call, for all statuses but NOT_FOUND.

    Args:
        failure: what the server or the connection said.
        model: how to name the model, with its address.
        address: of the server.
        timeout: seconds that were waited.
    """
    code, message = failure.code, failure.message.strip().rstrip(".")
    proxy = find_proxy(address)
    proxy = f" {proxy}" if proxy else ""
    if code == "LOADING":  # the client's own, of what the server tells of its versions
        return ModelLoading(f"The server is still loading {model}.")
    if code == "RESOURCE_EXHAUSTED" and _TOO_MUCH.search(message):
        return RequestRefused(
            f"The request is too large for {model}: {message}. Send fewer or shorter sentences at "
            "once (`batch_size`)."
        )
    if code == "RESOURCE_EXHAUSTED" or (code == "UNAVAILABLE" and "queue" in message):
        return QueueFull(
            f"The queue of {model} is full: {message}. Try again later or with fewer connections; "
            "or raise max_enqueued_batches or num_batch_threads there."
        )
    if code == "UNAVAILABLE":
        return ServerUnreachable(
            f"No TensorFlow Serving answers at {address}: {message}. HOST:PORT is for gRPC "
            f"(port {GRPC_PORT} by default), http://HOST:PORT for REST (port {REST_PORT}).{proxy}"
        )
    if code == "DEADLINE_EXCEEDED":
        return RequestTimedOut(
            f"There was no answer by {model} in {timeout:g} s: allow more time, or send fewer "
            f"sentences at once.{proxy}"
        )
    if code in ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED"):
        return RequestRefused(
            f"The request was refused by {model}: {message}. The server's max_batch_size is the "
            "most sentences that a request may have."
        )
    if code in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
        return RequestRefused(
            f"The request was refused by {model}, or by a proxy before it: {message}. A login is "
            f"given as a header (`headers`, --header), or over REST in the address.{proxy}"
        )
    return ServingError(f"{model}: {code}: {message}.{proxy}")


def explain_missing(
    failure: Failure, model: str, version: int | None, versions: Sequence[Version]
) -> ServingError:
    """The error of a call that failed with NOT_FOUND, which tells no reason: the states do.

    Args:
        failure: what the server said.
        model: how to name the model, with its address.
        version: the one that was asked for; None for the newest.
        versions: what the server tells of the model; empty if it has no such model.
    """
    wanted = [v for v in versions if version in (None, v.version)]
    if any(v.state in LOADING for v in wanted):
        return ModelLoading(f"The server is still loading {model}.")
    reasons = [v.error for v in wanted if v.error]
    for reason in reasons:
        if "Op type not registered" in reason:
            return OperationMissing(
                f"The server lacks an operation of {model}: {reason} TensorFlow Serving has the "
                "tokenizer's operations from 2.12 on; a server without them can be sent token ids."
            )
    if reasons:
        return ModelBroken(f"The server could not load {model}: {reasons[0]}")
    states = ", ".join(f"version {v.version} is {v.state}" for v in versions)
    return ModelMissing(
        f"The server has no {model}: {failure.message}" + (f". Its {states}." if states else "")
    )
