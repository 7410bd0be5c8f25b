"""The two ways to TensorFlow Serving, gRPC and REST, behind one interface.

Both raise Failure with gRPC's name for the status: the server's REST side translates each to the
HTTP status of the same meaning.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

SIGNATURE = "serving_default"
INPUT, OUTPUT = "sentences", "embeddings"
# HTTP statuses of TensorFlow Serving's REST API, and those of a proxy in front of it.
_HTTP = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
# gRPC gives up on a lost server for seconds; a client that tries again should see it return.
_CHANNEL = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)


class Failure(Exception):
    """A call that failed.

    Attributes:
        code: gRPC's name of the status, as "UNAVAILABLE".
        message: the server's, or that of the connection.
    """

    def __init__(self, code: str, message: str):
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class Version(NamedTuple):
    """What the server tells of one version of a model."""

    version: int
    state: str  # START, LOADING, AVAILABLE, UNLOADING or END
    error: str  # "" if it could be loaded


class Grpc:
    """PredictionService and ModelService over gRPC.

    Args:
        address: "HOST:PORT".
        model: its name on the server.
        tls: whether the connection is encrypted, by the system's certificate authorities.

    Raises:
        ImportError: tensorflow-serving-api is not installed.
    """

    def __init__(self, address: str, model: str, *, tls: bool = False):
        try:
            import grpc
            from tensorflow_serving.apis import (
                get_model_status_pb2,
                model_service_pb2_grpc,
                predict_pb2,
                prediction_service_pb2_grpc,
            )
        except ImportError as error:
            raise ImportError(
                "gRPC needs tensorflow-serving-api: pip install 'labse_tf[serving]'; "
                "or use REST: http://HOST:PORT."
            ) from error
        from tensorflow import make_ndarray, make_tensor_proto

        self._error, self._status, self._predict = grpc.RpcError, get_model_status_pb2, predict_pb2
        self._to_array, self._to_tensor = make_ndarray, make_tensor_proto
        self._model = model
        if tls:
            credentials = grpc.ssl_channel_credentials()
            self._channel = grpc.secure_channel(address, credentials, options=_CHANNEL)
        else:
            self._channel = grpc.insecure_channel(address, options=_CHANNEL)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(
        self, sentences: Sequence[bytes], version: int | None, timeout: float
    ) -> np.ndarray:
        """The embeddings of UTF-8 sentences by one request; raises Failure."""
        request = self._predict.PredictRequest()
        request.model_spec.name = self._model
        request.model_spec.signature_name = SIGNATURE
        if version is not None:
            request.model_spec.version.value = version
        request.inputs[INPUT].CopyFrom(self._to_tensor(list(sentences), shape=[len(sentences)]))
        request.output_filter.append(OUTPUT)
        response = self._call(self._predictions.Predict, request, timeout)
        return self._to_array(response.outputs[OUTPUT])

    def versions(self, timeout: float) -> list[Version]:
        """The model's versions, newest first; raises Failure."""
        request = self._status.GetModelStatusRequest()
        request.model_spec.name = self._model
        response = self._call(self._models.GetModelStatus, request, timeout)
        state_name = self._status.ModelVersionStatus.State.Name
        found = [
            Version(status.version, state_name(status.state), status.status.error_message)
            for status in response.model_version_status
        ]
        return sorted(found, reverse=True)

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def _call(self, method, request, timeout: float):
        try:
            return method(request, timeout=timeout)
        except self._error as error:
            raise Failure(error.code().name, error.details() or "") from error


class Rest:
    """The same over HTTP; needs no TensorFlow.

    Args:
        address: "http://HOST:PORT" or "https://HOST:PORT", and a path if the server is below one.
        model: its name on the server.

    Raises:
        ImportError: requests is not installed.
    """

    def __init__(self, address: str, model: str):
        try:
            import requests
        except ImportError as error:
            raise ImportError("REST needs requests: pip install 'labse_tf[serving]'.") from error
        self._requests = requests
        self._url = f"{address.rstrip('/')}/v1/models/{quote(model, safe='')}"
        self._sessions: list[requests.Session] = []
        self._thread = threading.local()  # a session is for one thread

    def predict(
        self, sentences: Sequence[bytes], version: int | None, timeout: float
    ) -> np.ndarray:
        """The embeddings of UTF-8 sentences by one request; raises Failure."""
        url = self._url if version is None else f"{self._url}/versions/{version}"
        body = {"signature_name": SIGNATURE, "inputs": {INPUT: [s.decode() for s in sentences]}}
        outputs = self._call("POST", f"{url}:predict", timeout, body).get("outputs")
        if isinstance(outputs, dict):  # so it is when a signature has several
            outputs = outputs.get(OUTPUT)
        try:
            return np.array(outputs, np.float32)
        except (TypeError, ValueError) as error:
            raise Failure("INTERNAL", f"no rows of numbers in the answer: {error}") from error

    def versions(self, timeout: float) -> list[Version]:
        """The model's versions, newest first; raises Failure."""
        statuses = self._call("GET", self._url, timeout).get("model_version_status", [])
        found = [
            Version(
                int(status["version"]), status["state"], status["status"].get("error_message", "")
            )
            for status in statuses
        ]
        return sorted(found, reverse=True)

    def close(self) -> None:
        """Ends the connections."""
        for session in self._sessions:
            session.close()

    def _call(self, method: str, url: str, timeout: float, body=None) -> dict:
        session = getattr(self._thread, "session", None)
        if session is None:
            session = self._thread.session = self._requests.Session()
            self._sessions.append(session)
        try:
            response = session.request(method, url, json=body, timeout=timeout)
        except self._requests.Timeout as error:
            raise Failure("DEADLINE_EXCEEDED", str(error)) from error
        except self._requests.RequestException as error:
            raise Failure("UNAVAILABLE", str(error)) from error
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not response.ok:
            message = answer.get("error") if isinstance(answer, dict) else None
            code = _HTTP.get(response.status_code, "UNKNOWN")
            message = message or f"{response.status_code} {response.reason}"
            raise Failure(code, f"{message} ({url})" if code == "UNKNOWN" else message)
        if not isinstance(answer, dict):
            raise Failure("INTERNAL", f"{url} answered something that is no JSON object")
        return answer
