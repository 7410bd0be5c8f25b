"""The texts of a directory for TensorFlow Serving: its configuration, and how to call it."""

from __future__ import annotations

from collections.abc import Sequence

from labse_tf.extras import install_hint

MARK = "written by labse_tf, and anew with each version; delete this line to keep your own changes"
# The first that has the TF Text of this package's TensorFlow. Any from 2.12 has the operations.
IMAGE = "tensorflow/serving:2.20.0"
GRPC_PORT, REST_PORT = 8500, 8501
NAME = "labse"  # of the model, in requests


def configuration(models: Sequence[str], batch_sizes: Sequence[int]) -> dict[str, str]:
    """File name -> text.

    Args:
        models: names of the models, each a folder of versions.
        batch_sizes: the sizes that batches are filled up to, increasing.
    """
    return {
        "models.config": _models_config(models),
        "batching_parameters.txt": _batching_parameters(batch_sizes),
        "docker-compose.yml": _COMPOSE,
        "README.md": _readme(models, batch_sizes[-1]),
    }


def _models_config(models: Sequence[str]) -> str:
    configs = "".join(
        f"  config {{\n"
        f'    name: "{model}"\n'
        f'    base_path: "/models/{model}"\n'
        f'    model_platform: "tensorflow"\n'
        f"  }}\n"
        for model in models
    )
    return f"# {MARK}\nmodel_config_list {{\n{configs}}}\n"


def _batching_parameters(batch_sizes: Sequence[int]) -> str:
    allowed = "".join(f"allowed_batch_sizes: {size}\n" for size in batch_sizes)
    return (
        f"# {MARK}\n"
        "# A request of more sentences than this is refused.\n"
        f"max_batch_size {{ value: {batch_sizes[-1]} }}\n"
        f"{allowed}"
        "# How long the first request of a batch waits for others.\n"
        "batch_timeout_micros { value: 1000 }\n"
        "# When so many batches wait, further requests are refused (UNAVAILABLE): try them again.\n"
        "max_enqueued_batches { value: 100 }\n"
        "# Padding of token ids would repeat the first number of input_mask, which is 1.\n"
        "pad_variable_length_inputs: false\n"
    )


_COMPOSE = f"""# {MARK}
services:
  serving:
    image: {IMAGE}
    command:
      - --model_config_file=/models/models.config
      - --model_config_file_poll_wait_seconds=60
      - --enable_batching=true
      - --batching_parameters_file=/models/batching_parameters.txt
    ports:  # on this machine alone: who reaches them may use them, since the server asks no one
      - "127.0.0.1:{GRPC_PORT}:{GRPC_PORT}"
      - "127.0.0.1:{REST_PORT}:{REST_PORT}"
    volumes:
      - .:/models:ro
    restart: unless-stopped
"""


def _readme(models: Sequence[str], max_batch_size: int) -> str:
    listed = ", ".join(f"`{model}`" for model in models)
    return f"""<!-- {MARK} -->
# Sentence embeddings by TensorFlow Serving

Models: {listed}. `docker compose up -d` serves the newest version of each, gRPC on port {GRPC_PORT}
and REST on {REST_PORT}. A version that is added later is loaded by itself, after its warm-up
requests, and only then takes the place of the one before. To go back, move the newest version's
directory away.

The ports are open to this machine alone. The server asks nobody who they are: for other machines
put a proxy with TLS and a login before it.

REST:

```
curl http://localhost:{REST_PORT}/v1/models/{models[0]}    # versions, states
curl http://localhost:{REST_PORT}/v1/models/{models[0]}:predict \\
  -d '{{"signature_name": "serving_default", "inputs": {{"sentences": ["Hello", "Hallo"]}}}}'
```

The answer is `{{"outputs": [[...], [...]]}}`: an embedding a sentence, of length 1.

Both by `labse client` ({install_hint("serving")}):

```
labse client localhost:{GRPC_PORT} --model {models[0]} Hello Hallo
labse client http://localhost:{REST_PORT} --model {models[0]} @sentences.txt --output rows.npy
```

gRPC (`pip install tensorflow-serving-api`):

```python
import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

channel = grpc.insecure_channel("localhost:{GRPC_PORT}")
stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
request = predict_pb2.PredictRequest()
request.model_spec.name = "{models[0]}"
request.model_spec.signature_name = "serving_default"
request.inputs["sentences"].CopyFrom(tf.make_tensor_proto(["Hello", "Hallo"]))
embeddings = tf.make_ndarray(stub.Predict(request, timeout=10).outputs["embeddings"])
```

- A request may have up to {max_batch_size} sentences (`max_batch_size` in
  `batching_parameters.txt`); those of several clients are run together.
- UNAVAILABLE (503) says that the queue is full: send the same request again, a little later.
- The signature `token_ids` takes `input_word_ids`, `input_mask` and `input_type_ids`, int32, from
  clients that tokenize. With batching, all of them must use the same width.
- "Op type not registered" in the server's log means a server older than 2.12, whose text operations
  are others.
"""
