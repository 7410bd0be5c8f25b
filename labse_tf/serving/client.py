"""Sentence embeddings from a TensorFlow Serving that serves a release."""

from __future__ import annotations

import itertools
import random
import re
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import numpy as np

from labse_tf.files.sentences import in_utf8
from labse_tf.release.batch_sizes import BATCH_SIZES
from labse_tf.serving.errors import (
    LOADING,
    ModelLoading,
    ModelMissing,
    RequestRefused,
    ServerUnreachable,
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
    split_login,
)

TIMEOUT, RETRIES, CONNECTIONS, LOAD_TIMEOUT = 10.0, 6, 4, 300.0
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d+)")


class EmbeddingClient:
    """Embeds sentences on a server. Requests change nothing there, so failed ones are repeated.

    Args:
        address: "HOST:PORT" for gRPC, "http://HOST:PORT" or "https://HOST:PORT" for REST. REST
            takes a login, "https://USER:PASSWORD@HOST", which is in no message.
        model: its name on the server.
        version: which one; by default the newest that is available at the first request, for good:
            embeddings of two should not be mixed. Where the server tells no versions, that of
            gRPC's first answer; those of REST name none, so that a warning says to give it.
        batch_size: the most sentences in a request; the server may refuse more than its own
            `max_batch_size`.
        timeout: seconds for an attempt; over gRPC, for an attempt and the up to four that gRPC
            makes after one that is refused at once.
        retries: how often a request is repeated that found the server unreachable, its queue full,
            or no answer in time; after about 0.1 s, then twice as long each time, at most 5 s. gRPC
            makes up to five attempts at a time, so that more than four repetitions may become up
            to four more.
        load_timeout: Seconds to wait for a model that is being loaded, and for a server that has
            answered before and is now unreachable, as in a restart. Not if `retries` is 0.
        connections: the most requests at once.
        tls: For gRPC, whether the connection is encrypted. For REST, write https://.
        headers: HTTP headers or gRPC metadata of every request, such as
            {"Authorization": "Bearer ..."} for a login.

    Raises:
        ImportError: the extra `serving` is not installed.
        ValueError: the address has no port, `tls` is given for http://, or a number is below its
            least.
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
        load_timeout: float = LOAD_TIMEOUT,
        tls: bool = False,
        headers: Mapping[str, str] | None = None,
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
        self.address, login = split_login(address)
        self.model, self.version = model, version
        self._has_answered = False
        self._asked = False  # whether the server was asked for its versions in vain
        self._batch_size, self._timeout = batch_size, timeout
        self._retries, self._connections = retries, connections
        self._load_timeout = load_timeout
        headers = dict(headers or {})
        if self.address.startswith(("http://", "https://")):
            if tls and self.address.startswith("http://"):
                raise ValueError(
                    "`tls` (--tls) is for gRPC. For encrypted REST write "
                    f"https://{self.address.removeprefix('http://')}."
                )
            self._transport: Grpc | Rest = Rest(
                self.address, model, timeout=timeout, login=login, headers=headers
            )
        elif _ADDRESS.fullmatch(self.address) and login is None:
            self._transport = Grpc(
                address, model, timeout=timeout, retries=retries, tls=tls, headers=headers
            )
        else:
            raise ValueError(
                f"The address {self.address!r}{' with a login' if login else ''} must be "
                "HOST:PORT (gRPC, port 8500 by default) or http://HOST:PORT (REST, port 8501). "
                "gRPC takes a login as a header (`headers`, --header)."
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
        threads, stop = ThreadPoolExecutor(self._connections), threading.Event()
        try:
            while batch := list(itertools.islice(encoded, self._batch_size)):
                if self.version is None and not self._asked:
                    self.version = self._newest()
                    if self.version is None:  # the first answer may name it
                        yield self._embed(batch, stop)
                        self._warn_of_versions()
                        continue
                waiting.append(threads.submit(self._embed, batch, stop))
                if len(waiting) > self._connections:
                    yield _next(waiting)
            while waiting:
                yield _next(waiting)
        finally:
            stop.set()  # an error does not wait until other requests were repeated in vain
            threads.shutdown(wait=False, cancel_futures=True)

    def _embed(self, batch: list[bytes], stop: threading.Event | None = None) -> np.ndarray:
        rows, version = self._repeat(lambda: self._transport.predict(batch, self.version), stop)
        if self.version is None:
            self.version = version
        if rows.ndim != 2 or len(rows) != len(batch) or rows.dtype != np.float32:
            raise ServingError(
                f"{len(batch)} sentences were answered with {rows.dtype} {list(rows.shape)} by "
                f"{self._name()}: is it a release of labse_tf?"
            )
        return rows

    def _newest(self) -> int | None:
        """The newest version that is available; None where the server does not tell."""

        def newest() -> int | None:
            found = self._transport.versions()
            available = next((v.version for v in found if v.state == "AVAILABLE"), None)
            if available is None and any(v.state in LOADING for v in found):
                raise Failure("LOADING", "")
            return available

        try:
            return self._repeat(newest)
        except (RequestRefused, ModelMissing):  # the latter may be a proxy's word
            return None

    def _warn_of_versions(self) -> None:
        self._asked = True
        if self.version is None:
            warnings.warn(
                f"{self.address} does not tell which versions of model {self.model!r} it has: "
                "should it load another one meanwhile, embeddings of both are mixed. Give "
                "`version` (--version), or let the model's status or metadata through.",
                stacklevel=3,
            )

    def _repeat(self, call, stop: threading.Event | None = None):
        """Calls until there is an answer, a failure that will not pass, or no retry left.

        gRPC repeats calls itself. Repeated here is what it cannot: NOT_FOUND while the model is
        loading; a call not answered in time, since its deadline covers all attempts of the
        retryPolicy; and one for which the five attempts that this may have were not enough.

        Args:
            call: raises Failure.
            stop: ends the waiting between two attempts, with the last failure.
        """
        stop = stop or threading.Event()
        attempts, begun = 0, time.monotonic()
        while True:
            try:
                answer = call()
                self._has_answered = True
                return answer
            except Failure as failure:
                error = self._explain(failure)
                attempts += failure.attempts
                # A server that has answered before is probably being restarted.
                is_restarting = isinstance(error, ServerUnreachable) and self._has_answered
                if is_restarting or isinstance(error, ModelLoading):
                    again = self._retries and time.monotonic() - begun < self._load_timeout
                else:
                    again = failure.code in TRANSIENT and not isinstance(error, RequestRefused)
                    again = again and attempts <= self._retries
                if not again:
                    raise error from failure
            # Not all the same, so that many clients do not come at once.
            longest = min(FIRST_DELAY * 2 ** min(attempts - 1, 20), LONGEST_DELAY)
            if stop.wait(longest * random.uniform(0.5, 1)):
                raise error

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


def _next(waiting: deque[Future]) -> np.ndarray:
    """The rows of the first request; or the error of one behind it, as soon as there is one."""
    while not waiting[0].done():
        wait([future for future in waiting if not future.done()], return_when=FIRST_COMPLETED)
        failed = [future for future in waiting if future.done() and future.exception()]
        if failed and not waiting[0].done():
            return failed[0].result()
    return waiting.popleft().result()
