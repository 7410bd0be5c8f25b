"""Sentence embeddings from a TensorFlow Serving that serves a release."""

from __future__ import annotations

import itertools
import random
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from labse_tf.files.sentences import in_utf8
from labse_tf.release.batch_sizes import BATCH_SIZES
from labse_tf.serving.errors import (
    ModelLoading,
    RequestRefused,
    ServingError,
    explain,
    explain_missing,
)
from labse_tf.serving.grpc_transport import Grpc
from labse_tf.serving.rest_transport import Rest
from labse_tf.serving.templates import NAME
from labse_tf.serving.transports import (
    FIRST_DELAY,
    LONGEST_DELAY,
    TRANSIENT,
    Failure,
    Version,
)

TIMEOUT, RETRIES, CONNECTIONS = 10.0, 6, 4
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d+)")


class EmbeddingClient:
    """Embeds sentences on a server. Requests change nothing there, so failed ones are repeated.

    Args:
        address: "HOST:PORT" for gRPC, "http://HOST:PORT" or "https://HOST:PORT" for REST.
        model: its name on the server.
        version: which one; by default the newest that is available at the first request, and that
            one from then on: embeddings of two versions should not be mixed.
        batch_size: the most sentences in a request; the server may refuse more than its own
            `max_batch_size`.
        timeout: seconds for an attempt; over gRPC, for an attempt and the up to four that gRPC
            makes after one that is refused at once.
        retries: how often a request is repeated that found the server unreachable, its queue full,
            the model loading, or no answer in time; after about 0.1 s, then twice as long each
            time, at most 5 s. gRPC makes up to five attempts at a time, so that more than four
            repetitions may become up to four more.
        connections: the most requests at once.
        tls: for gRPC, whether the connection is encrypted.

    Raises:
        ImportError: the extra `serving` is not installed.
        ValueError: the address has no port, or a number is below its least.
    """

    def __init__(
        self,
        address: str,
        *,
        model: str = NAME,
        version: int | None = None,
        batch_size: int = BATCH_SIZES[-1],
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
        connections: int = CONNECTIONS,
        tls: bool = False,
    ):
        for name, number, least in (
            ("batch_size", batch_size, 1),
            ("connections", connections, 1),
            ("retries", retries, 0),
        ):
            if number < least:
                raise ValueError(f"`{name}` (={number}) must be at least {least}.")
        if not timeout > 0:
            raise ValueError(f"`timeout` (={timeout}) must be seconds above 0.")
        self.address, self.model, self.version = address, model, version
        self._batch_size, self._timeout = batch_size, timeout
        self._retries, self._connections = retries, connections
        if address.startswith(("http://", "https://")):
            self._transport: Grpc | Rest = Rest(address, model, timeout=timeout, retries=retries)
        elif _ADDRESS.fullmatch(address):
            self._transport = Grpc(address, model, timeout=timeout, retries=retries, tls=tls)
        else:
            raise ValueError(
                f"The address {address!r} must be HOST:PORT (gRPC, port 8500 by default) or "
                "http://HOST:PORT (REST, port 8501)."
            )

    def __enter__(self) -> EmbeddingClient:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections."""
        self._transport.close()

    def versions(self) -> list[Version]:
        """The model's versions on the server, newest first, with their states.

        Raises:
            ServingError: a subclass of it.
        """
        return self._repeat(self._transport.versions)

    def encode(self, sentences: Iterable[str]) -> np.ndarray:
        """Embeds sentences.

        Args:
            sentences: any number; more than `batch_size` become several requests.

        Returns:
            float32 [sentences, dim], rows of unit length in the order of the sentences.

        Raises:
            ServingError: a subclass of it, for each reason another.
            TypeError, ValueError: a sentence is not a string, or not one that UTF-8 can hold.
        """
        rows = list(self.stream(sentences))
        return np.concatenate(rows) if rows else self._embed([b""])[:0]

    def stream(self, sentences: Iterable[str]) -> Iterator[np.ndarray]:
        """As `encode`, a batch at a time, float32 [n, dim]; sentences are read as it goes on."""
        waiting: deque[Future] = deque()
        encoded, _ = in_utf8(sentences)
        with ThreadPoolExecutor(self._connections) as threads:
            try:
                while batch := list(itertools.islice(encoded, self._batch_size)):
                    if self.version is None:
                        self.version = self._newest()
                    waiting.append(threads.submit(self._embed, batch))
                    if len(waiting) > self._connections:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                threads.shutdown(wait=False, cancel_futures=True)

    def _embed(self, batch: list[bytes]) -> np.ndarray:
        rows = self._repeat(lambda: self._transport.predict(batch, self.version))
        if rows.ndim != 2 or len(rows) != len(batch) or rows.dtype != np.float32:
            raise ServingError(
                f"{len(batch)} sentences were answered with {rows.dtype} {list(rows.shape)} by "
                f"{self._name()}: is it a release of labse_tf?"
            )
        return rows

    def _newest(self) -> int | None:
        """The newest version that is available; None where the server does not tell."""
        try:
            found = self.versions()
        except RequestRefused:
            return None
        return next((v.version for v in found if v.state == "AVAILABLE"), None)

    def _repeat(self, call):
        """Calls until there is an answer, a failure that will not pass, or no retry left.

        The transports repeat calls themselves. Repeated here is what their libraries cannot:
        NOT_FOUND while the model is loading; and over gRPC, a call that was not answered in time,
        since its deadline covers all attempts of the retryPolicy, and one for which the five
        attempts that a retryPolicy may have were not enough.
        """
        attempts = 0
        while True:
            try:
                return call()
            except Failure as failure:
                error = self._explain(failure)
                attempts += failure.attempts
                again = failure.code in TRANSIENT or isinstance(error, ModelLoading)
                if attempts > self._retries or not again:
                    raise error from failure
            longest = min(FIRST_DELAY * 2 ** (attempts - 1), LONGEST_DELAY)
            time.sleep(longest * random.uniform(0.5, 1))  # so that many clients do not come at once

    def _explain(self, failure: Failure) -> ServingError:
        if failure.code != "NOT_FOUND":
            return explain(failure, self._name(), self.address, self._timeout)
        try:
            versions = self._transport.versions()
        except Failure:
            versions = []  # neither does it tell of the model
        return explain_missing(failure, self._name(), self.version, versions)

    def _name(self) -> str:
        version = "" if self.version is None else f" version {self.version}"
        return f"model {self.model!r}{version} on {self.address}"
