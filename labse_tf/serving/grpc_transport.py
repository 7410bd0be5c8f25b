"""TensorFlow Serving over gRPC."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

import numpy as np

from labse_tf.extras import install_hint
from labse_tf.serving.transports import (
    FIRST_DELAY,
    INPUT,
    LONGEST_DELAY,
    OUTPUT,
    SIGNATURE,
    TRANSIENT,
    Failure,
    Version,
)

_MOST_ATTEMPTS = 5  # of a call by gRPC's retryPolicy: it takes no higher number
# Not DEADLINE_EXCEEDED: the deadline is that of all attempts of a call.
_REPEATED_BY_GRPC = sorted(TRANSIENT - {"DEADLINE_EXCEEDED"})


class Grpc:
    """PredictionService and ModelService over gRPC.

    Args:
        address: "HOST:PORT".
        model: its name on the server.
        timeout: seconds for a call, which is up to five attempts; see `_options`.
        retries: how often a request is repeated, four times at most.
        tls: whether the connection is encrypted, by the system's certificate authorities.
        headers: Metadata of every request.

    Raises:
        ImportError: tensorflow-serving-api is not installed.
    """

    def __init__(
        self,
        address: str,
        model: str,
        *,
        timeout: float,
        retries: int,
        tls: bool = False,
        headers: Mapping[str, str] | None = None,
    ):
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
                f"gRPC needs tensorflow-serving-api: {install_hint('serving')}; "
                "or use REST: http://HOST:PORT."
            ) from error
        from tensorflow import make_ndarray, make_tensor_proto

        self._error, self._status, self._predict = grpc.RpcError, get_model_status_pb2, predict_pb2
        self._to_array, self._to_tensor = make_ndarray, make_tensor_proto
        self._model, self._timeout, self._process = model, timeout, os.getpid()
        self._metadata = [(name.lower(), value) for name, value in (headers or {}).items()]
        self._attempts = min(retries + 1, _MOST_ATTEMPTS)
        options = _options(self._attempts, timeout)
        if tls:
            credentials = grpc.ssl_channel_credentials()
            self._channel = grpc.secure_channel(address, credentials, options=options)
        else:
            self._channel = grpc.insecure_channel(address, options=options)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(
        self, sentences: Sequence[bytes], version: int | None
    ) -> tuple[np.ndarray, int | None]:
        """The embeddings of UTF-8 sentences by one request, and of which version they are.

        Raises Failure.
        """
        request = self._predict.PredictRequest()
        request.model_spec.name = self._model
        request.model_spec.signature_name = SIGNATURE
        if version is not None:
            request.model_spec.version.value = version
        request.inputs[INPUT].CopyFrom(self._to_tensor(list(sentences), shape=[len(sentences)]))
        request.output_filter.append(OUTPUT)
        response = self._call(self._predictions.Predict, request)
        return self._to_array(response.outputs[OUTPUT]), response.model_spec.version.value or None

    def versions(self) -> list[Version]:
        """The model's versions, newest first; raises Failure."""
        request = self._status.GetModelStatusRequest()
        request.model_spec.name = self._model
        response = self._call(self._models.GetModelStatus, request)
        state_name = self._status.ModelVersionStatus.State.Name
        found = [
            Version(status.version, state_name(status.state), status.status.error_message)
            for status in response.model_version_status
        ]
        return sorted(found, reverse=True)

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def _call(self, method, request):
        if os.getpid() != self._process:
            raise RuntimeError(
                "This process was forked from the one that made the client, and gRPC does not live "
                "through a fork: make an EmbeddingClient in each process, or use REST."
            )
        try:
            return method(request, timeout=self._timeout, metadata=self._metadata)
        except self._error as error:
            code = error.code().name
            attempts = self._attempts if code in _REPEATED_BY_GRPC else 1
            raise Failure(code, error.details() or "", attempts) from error


def _options(attempts: int, timeout: float) -> list[tuple[str, object]]:
    """Of a channel whose calls make so many attempts, 1 to 5, in `timeout` seconds altogether."""
    options: list[tuple[str, object]] = [
        # gRPC leaves a lost server alone for seconds; one that returns should be found.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        # A request that is larger than this would not be repeated (by default 256 KiB).
        ("grpc.per_rpc_retry_buffer_size", 2**30),
    ]
    if attempts > 1:
        # Four delays are 18 times the first at most. They leave time for the attempts themselves,
        # or a full queue would look like a server that does not answer.
        policy = {
            "maxAttempts": attempts,
            "initialBackoff": f"{min(FIRST_DELAY, timeout / 36):.9f}s",
            "maxBackoff": f"{LONGEST_DELAY}s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": _REPEATED_BY_GRPC,
        }
        config = {"methodConfig": [{"name": [{}], "retryPolicy": policy}]}
        options.append(("grpc.service_config", json.dumps(config)))
    return options
