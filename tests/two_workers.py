"""Two worker processes that train together, and what starts them."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("localhost", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def run_two_workers(directory):
    """Runs this file as two workers of one cluster; returns their losses."""
    workers = [f"localhost:{port}" for port in free_ports(2)]
    processes = []
    for index in range(2):
        cluster = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(cluster), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.two_workers", str(directory)]
        processes.append(
            subprocess.Popen(
                command,
                env=environment,
                cwd=ROOT,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
    try:
        results = [process.communicate(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, results):
        assert process.returncode == 0, errors[-3000:]
    return [float(out.split("loss=")[1].split()[0]) for out, _ in results]


def main(directory):
    import numpy as np
    import tensorflow as tf

    # The strategy has to be there before anything else of TensorFlow.
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    from tests.training.test_replicas import trained

    history, weights = trained(strategy)
    index = strategy.cluster_resolver.task_id
    np.savez(Path(directory) / f"worker-{index}.npz", **weights)
    print(f"loss={history['loss'][0]}")


if __name__ == "__main__":
    main(sys.argv[1])
