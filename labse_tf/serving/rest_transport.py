"""TensorFlow Serving's REST API."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from urllib.parse import quote

import numpy as np

from labse_tf.extras import install_hint
from labse_tf.serving.transports import INPUT, OUTPUT, SIGNATURE, Failure, Version

# Statuses of TensorFlow Serving's REST API, and those of a proxy in front of it.
_HTTP = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
# What a proxy says that does not let the model's status through.
_WITHHELD = {"UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "UNIMPLEMENTED"}


class Rest:
    """The REST API; needs no TensorFlow. Of a call it makes one attempt.

    Args:
        address: "http://HOST:PORT" or "https://HOST:PORT", and a path if the server is below one.
        model: its name on the server.
        timeout: seconds for an attempt.
        login: User and password.
        headers: HTTP headers of every request.

    Raises:
        ImportError: requests is not installed.
    """

    def __init__(
        self,
        address: str,
        model: str,
        *,
        timeout: float,
        login: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        try:
            import requests
            import urllib3
        except ImportError as error:
            raise ImportError(f"REST needs requests: {install_hint('serving')}.") from error
        self._requests, self._errors = requests, urllib3.exceptions
        self._timeout, self._login, self._headers = timeout, login, headers or {}
        self._url = f"{address.rstrip('/')}/v1/models/{quote(model, safe='')}"
        self._sessions: list[requests.Session] = []
        self._thread = threading.local()  # a session is for one thread

    def predict(self, sentences: Sequence[bytes], version: int | None) -> tuple[np.ndarray, None]:
        """The embeddings of UTF-8 sentences by one request; of which version is not told.

        Raises Failure.
        """
        url = self._url if version is None else f"{self._url}/versions/{version}"
        body = {"signature_name": SIGNATURE, "inputs": {INPUT: [s.decode() for s in sentences]}}
        outputs = self._call("POST", f"{url}:predict", body).get("outputs")
        if isinstance(outputs, dict):  # so it is when a signature has several
            outputs = outputs.get(OUTPUT)
        try:
            return np.array(outputs, np.float32), None
        except (TypeError, ValueError) as error:
            raise Failure("INTERNAL", f"no rows of numbers in the answer: {error}") from error

    def versions(self) -> list[Version]:
        """The model's versions, newest first; raises Failure.

        Where its status is withheld, the one that its metadata names, which is the newest.
        """
        try:
            statuses = self._call("GET", self._url).get("model_version_status", [])
        except Failure as failure:
            if failure.code not in _WITHHELD:
                raise
            return [Version(self._version_of_metadata(failure), "AVAILABLE", "")]
        found = [
            Version(
                int(status["version"]), status["state"], status["status"].get("error_message", "")
            )
            for status in statuses
        ]
        return sorted(found, reverse=True)

    def _version_of_metadata(self, failure: Failure) -> int:
        try:
            return int(self._call("GET", f"{self._url}/metadata")["model_spec"]["version"])
        except (Failure, KeyError, TypeError, ValueError):
            raise failure from None

    def close(self) -> None:
        """Ends the connections."""
        for session in self._sessions:
            session.close()

    def _session(self):
        if not hasattr(self._thread, "session"):
            self._thread.session = self._requests.Session()
            self._thread.session.headers.update(self._headers)
            if self._login is not None:
                self._thread.session.auth = tuple(part.encode() for part in self._login)
            elif "Authorization" in self._thread.session.headers:
                # Or requests would replace it by a login of ~/.netrc.
                self._thread.session.auth = lambda request: request
            self._sessions.append(self._thread.session)
        return self._thread.session

    def _call(self, method: str, url: str, body=None) -> dict:
        try:
            response = self._session().request(method, url, json=body, timeout=self._timeout)
        except self._requests.RequestException as error:
            # requests has no Timeout for an answer that comes in part.
            cause = error.args[0] if error.args else None
            late = isinstance(error, self._requests.Timeout)
            late |= isinstance(cause, self._errors.ReadTimeoutError)
            raise Failure("DEADLINE_EXCEEDED" if late else "UNAVAILABLE", str(error)) from error
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not response.ok:
            message = answer.get("error") if isinstance(answer, dict) else None
            code = _HTTP.get(response.status_code, "UNKNOWN")
            message = message or f"{response.status_code} {response.reason}"
            message = f"{message} ({url})" if code == "UNKNOWN" else message
            raise Failure(code, message)
        if not isinstance(answer, dict):
            raise Failure("INTERNAL", f"{url} answered something that is no JSON object")
        return answer
