"""Two worker processes that train together, and what starts them."""

import contextlib
import json
import os
import re
import signal
import socket
import sys
from pathlib import Path

from tests.fresh import Started


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("localhost", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def run_two_workers(directory):
    """Runs this module as two workers of one cluster; returns what each found, see `main`."""
    workers = [f"localhost:{port}" for port in free_ports(2)]
    Path(directory, "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n")
    processes = []
    for index in range(2):
        cluster = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        env = {"TF_CONFIG": json.dumps(cluster)}
        processes.append(Started("-m", "tests.two_workers", directory, env=env))
    ended = [process.wait(timeout=240) for process in processes]
    for process in ended:
        assert process.returncode == 0, process.stderr[-3000:]
    return [json.loads(process.stdout.splitlines()[-1]) for process in ended]


def main(directory):
    """Trains the dual encoder of test_replicas, and three weights.

    The second weight is interrupted; the third one's loss is NaN in step 2. Prints, as JSON: loss,
    the dual encoder's; weight, the first one; preempted, the last step of the second. Each worker
    has directories of its own, but for the third.
    """
    import numpy as np

    # The strategy has to be there before anything else of TensorFlow.
    from labse_tf.training.strategy import choose_strategy

    strategy = choose_strategy()
    from labse_tf.training.held_out import HeldOut
    from labse_tf.training.preemption import Preempted
    from tests.training import one_weight
    from tests.training.replicas import trained

    class Ask(HeldOut):
        def on_train_batch_end(self, batch, logs=None):
            if batch + 1 == 5:
                os.kill(os.getpid(), signal.SIGTERM)

    index, directory = strategy.cluster_resolver.task_id, Path(directory)
    vocab_file = str(directory / "vocab.txt")
    history, weights = trained(strategy)
    np.savez(directory / f"worker-{index}.npz", **weights)
    with strategy.scope():
        weight = one_weight.run(directory / f"run-{index}", vocab_file)
        callback = Ask if index == 1 else None
        try:
            one_weight.run(directory / f"asked-{index}", vocab_file, callback=callback)
            step = None
        except Preempted as end:
            step = int(re.search(r"the checkpoint of step (\d+) is saved", str(end))[1])
        with contextlib.suppress(FloatingPointError):
            figures = {2: {"loss": float("nan")}}
            one_weight.run(directory / "not-finite", vocab_file, figures=figures)
    print(json.dumps({"loss": history["loss"][0], "weight": weight, "preempted": step}))


if __name__ == "__main__":
    main(sys.argv[1])
