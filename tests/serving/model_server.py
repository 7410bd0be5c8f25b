"""Stands in for tensorflow_model_server: python model_server.py MODELS [--no-text] [--delay S]

It loads the versions of real releases from a directory that export.serving wrote, and answers
PredictionService and ModelService (TensorFlow Serving's own messages) over gRPC, and the REST API.
What it says of models that are missing or broken, of a full queue, of batches that are too large
and of signatures that do not exist has TensorFlow Serving's words and statuses.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

STATE = get_model_status_pb2.ModelVersionStatus
HTTP = {"NOT_FOUND": 404, "INVALID_ARGUMENT": 400, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504}


class Refusal(Exception):
    """A status that is not OK, by gRPC's name, with its message."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


class Models:
    """Loads and runs the models of a directory.

    Args:
        directory: MODELS/NAME/VERSION/saved_model.pb.
        delay: seconds that each request takes besides.
        queue: the most requests that may be there at once.
        largest: the most sentences in a request.
        load: whether to load all versions now; until then they are LOADING.
    """

    def __init__(self, directory, *, delay=0.0, queue=100, largest=32, load=True):
        self.directory, self.delay, self.largest = Path(directory), delay, largest
        self.answered, self.versions_of_requests = 0, set()
        self.headers: dict[str, str] = {}  # of the last request, by lower-case names
        self._loaded: dict[tuple[str, int], object] = {}
        self._errors: dict[tuple[str, int], str] = {}
        self._places, self._lock = threading.Semaphore(queue), threading.Lock()
        self._queue = queue
        if load:
            self.load()

    def load(self):
        """Loads what is in the directory and was not loaded before."""
        for name, version in self._found():
            if (name, version) in self._loaded:
                continue
            try:
                path = self.directory / name / str(version)
                self._loaded[name, version] = _load(path)
            except Exception as error:
                self._errors[name, version] = str(error)

    def unload(self, name, version):
        """Takes a version away, as the server does when there is a newer one."""
        del self._loaded[name, version]
        self._errors[name, version] = ""

    def _found(self):
        paths = self.directory.glob("*/*/saved_model.pb")
        return sorted((path.parts[-3], int(path.parts[-2])) for path in paths)

    def status(self, name):
        """(version, state, error) of each version."""
        found = []
        for model, version in self._found():
            if model == name:
                error = self._errors.get((name, version))
                state = STATE.END if error is not None else STATE.LOADING
                state = STATE.AVAILABLE if (name, version) in self._loaded else state
                found.append((version, state, error or ""))
        if not found:
            raise Refusal("NOT_FOUND", f"Could not find any versions of model {name}")
        return sorted(found, reverse=True)

    def predict(self, name, version, signature, inputs):
        """The version that ran and its outputs."""
        if not self._places.acquire(blocking=False):
            raise Refusal(
                "UNAVAILABLE",
                "The batch scheduling queue to which this task was submitted is full; currently "
                f"{self._queue} batches enqueued and max_enqueued_batches is {self._queue}",
            )
        try:
            time.sleep(self.delay)
            versions = [v for n, v in self._loaded if n == name and version in (None, v)]
            if not versions:
                which = f"Latest({name})" if version is None else f"Specific({name}, {version})"
                raise Refusal("NOT_FOUND", f"Servable not found for request: {which}")
            signatures = self._loaded[name, max(versions)].signatures
            if signature not in signatures:
                raise Refusal("INVALID_ARGUMENT", f'Serving signature key "{signature}" not found.')
            size = len(next(iter(inputs.values())))
            if size > self.largest:
                raise Refusal(
                    "INVALID_ARGUMENT",
                    f"Task size {size} is larger than maximum input batch size {self.largest}",
                )
            outputs = signatures[signature](**{k: tf.constant(v) for k, v in inputs.items()})
            with self._lock:
                self.answered += 1
                self.versions_of_requests.add(max(versions))
            return max(versions), outputs
        finally:
            self._places.release()


_LOADED: dict[str, object] = {}


def _load(path: Path):
    """A SavedModel: loaded once for all copies of it, since that takes seconds."""
    digest = hashlib.sha256()
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        digest.update(str(file.relative_to(path)).encode() + file.read_bytes())
    key = digest.hexdigest()
    if key not in _LOADED:
        _LOADED[key] = tf.saved_model.load(str(path))
    return _LOADED[key]


class Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    """What it does not have is UNIMPLEMENTED."""

    def __init__(self, models):
        self.models = models

    def Predict(self, request, context):
        self.models.headers = dict(context.invocation_metadata())
        spec = request.model_spec
        version = spec.version.value if spec.HasField("version") else None
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        response = predict_pb2.PredictResponse()
        try:
            ran, outputs = self.models.predict(spec.name, version, spec.signature_name, inputs)
        except Refusal as refusal:
            context.abort(grpc.StatusCode[refusal.code], str(refusal))
        response.model_spec.name, response.model_spec.version.value = spec.name, ran
        for name, tensor in outputs.items():
            if not request.output_filter or name in request.output_filter:
                response.outputs[name].CopyFrom(tf.make_tensor_proto(tensor))
        return response


class Statuses(model_service_pb2_grpc.ModelServiceServicer):
    """What it does not have is UNIMPLEMENTED."""

    def __init__(self, models):
        self.models = models

    def GetModelStatus(self, request, context):
        response = get_model_status_pb2.GetModelStatusResponse()
        try:
            found = self.models.status(request.model_spec.name)
        except Refusal as refusal:
            context.abort(grpc.StatusCode[refusal.code], str(refusal))
        for version, state, error in found:
            status = response.model_version_status.add(version=version, state=state)
            status.status.error_code = 5 if error else 0
            status.status.error_message = error
        return response


def rest_handler(models):
    """The class of handlers of a REST API."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if self.path.endswith("/metadata"):
                self.path = self.path.removesuffix("/metadata")
                self._answer(lambda name, version: self._metadata(name))
            else:
                self._answer(lambda name, version: {"model_version_status": self._status(name)})

        def do_POST(self):
            models.headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(lambda name, version: self._predict(name, version, json.loads(body)))

        def _status(self, name):
            codes = {False: "OK", True: "NOT_FOUND"}
            return [
                {
                    "version": str(version),
                    "state": STATE.State.Name(state),
                    "status": {"error_code": codes[bool(error)], "error_message": error},
                }
                for version, state, error in models.status(name)
            ]

        def _metadata(self, name):
            newest = max(int(status["version"]) for status in self._status(name))
            spec = {"name": name, "signature_name": "", "version": str(newest)}
            return {"model_spec": spec, "metadata": {}}

        def _predict(self, name, version, request):
            inputs = {
                key: [text.encode() for text in value] for key, value in request["inputs"].items()
            }
            _, outputs = models.predict(name, version, request["signature_name"], inputs)
            ((_, rows),) = outputs.items()
            return {"outputs": rows.numpy().tolist()}

        def _answer(self, respond):
            _, _, _, name, *version = self.path.partition(":")[0].split("/")
            try:
                status, answer = 200, respond(name, int(version[1]) if version else None)
            except Refusal as refusal:
                status, answer = HTTP[refusal.code], {"error": str(refusal)}
            body = json.dumps(answer).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except BrokenPipeError:  # the client gave up waiting
                self.close_connection = True

        def log_message(self, *arguments):
            pass

    return Handler


class ModelServer:
    """Serves models on two ports: `grpc` is "HOST:PORT", `rest` is "http://HOST:PORT"."""

    def __init__(self, models, ports=(0, 0)):
        self.models = models
        self._grpc = grpc.server(ThreadPoolExecutor(16))
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            Predictions(models), self._grpc
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(Statuses(models), self._grpc)
        grpc_port = self._grpc.add_insecure_port(f"localhost:{ports[0]}")
        self._rest = ThreadingHTTPServer(("localhost", ports[1]), rest_handler(models))
        self._rest.daemon_threads = True
        self.ports = grpc_port, self._rest.server_port
        self.grpc, self.rest = f"localhost:{grpc_port}", f"http://localhost:{self.ports[1]}"

    def __enter__(self):
        self._grpc.start()
        # It looks that often whether to end: tests start many.
        threading.Thread(target=self._rest.serve_forever, args=[0.02], daemon=True).start()
        return self

    def __exit__(self, *exception):
        self._grpc.stop(None).wait()
        self._rest.shutdown()
        self._rest.server_close()


def main():
    """Serves until standard input ends; prints both addresses."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models")
    parser.add_argument("--no-text", action="store_true", help="as servers before 2.12: no TF Text")
    parser.add_argument("--delay", type=float, default=0.0)
    flags = parser.parse_args()
    if not flags.no_text:
        import tensorflow_text  # noqa: F401
    with ModelServer(Models(flags.models, delay=flags.delay)) as server:
        print(server.grpc, server.rest, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
