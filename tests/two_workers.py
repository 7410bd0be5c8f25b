"""Two worker processes that train together, are interrupted, and are started again."""

import contextlib
import json
import os
import re
import resource
import signal
import socket
import sys
from pathlib import Path

from tests.fresh import Started

# Runs that are interrupted in the first start and resumed in the second one: with the step, of the
# whole run, in which the second worker gets SIGTERM.
INTERRUPTED = {
    "fine-tuning": 6,
    "fine-tuning-stages": 9,
    "pre-training": 4,
    "pre-training-stages": 6,
}


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("localhost", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def run_two_workers(directory):
    """Starts this module twice as two workers of one cluster; returns what `main` printed.

    Returns:
        For each of the two starts a list of what each worker found.
    """
    from tests.training import pretraining_runs, runs

    words = [*runs.ENGLISH, *(word[::-1] for word in runs.ENGLISH), "?"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *dict.fromkeys(words)]
    Path(directory, "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    runs.write_pairs(directory / "pairs.tsv")
    pretraining_runs.write_vocabulary(directory / "words.txt")
    pretraining_runs.write_pairs(directory / "text.tsv")
    write_batches(directory)
    return [start_two_workers(directory, phase) for phase in ("first", "second")]


def start_two_workers(directory, phase):
    workers = [f"localhost:{port}" for port in free_ports(2)]
    processes = []
    for index in range(2):
        cluster = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        env = {"TF_CONFIG": json.dumps(cluster)}
        processes.append(Started("-m", "tests.two_workers", directory, phase, env=env))
    ended = [process.wait(timeout=600) for process in processes]
    for process in ended:
        assert process.returncode == 0, process.stderr[-3000:]
    return [json.loads(process.stdout.splitlines()[-1]) for process in ended]


def main(directory, phase):
    """Trains in one process of two; prints what it found as JSON, see `first` and `second`."""
    # The strategy has to be there before anything else of TensorFlow.
    from labse_tf.training.strategy import choose_strategy

    strategy = choose_strategy()
    import tensorflow as tf

    # Small graphs are executed a few times: optimizing them takes longer.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    worker = strategy.cluster_resolver.task_id
    with strategy.scope():
        found = {"first": first, "second": second}[phase](strategy, worker, Path(directory))
    print(json.dumps(found))


def first(strategy, worker, directory):
    """Trains the dual encoder of test_replicas, and several runs that do not end well.

    Returns:
        loss: The dual encoder's.
        weight: The weight of a run that ends.
        preempted: By run, the step in which it was interrupted.
        full: The error of a run whose chief has a full disk.
        apart: The error of a run whose workers have a directory of their own each.
        stale: The error of a run of which the second worker does not see the checkpoint.
    """
    import numpy as np

    from labse_tf.training import checkpoint_directory, workers
    from tests.training import one_weight
    from tests.training.replicas import trained

    vocab_file = str(directory / "vocab.txt")
    history, weights = trained(strategy)
    np.savez(directory / f"worker-{worker}.npz", **weights)
    found = {"loss": history["loss"][0]}
    found["weight"] = one_weight.run(directory / "run", vocab_file)
    found["preempted"] = {
        name: preempted(name, directory, worker, step) for name, step in INTERRUPTED.items()
    }
    with contextlib.suppress(FloatingPointError):
        one_weight.run(directory / "not-finite", vocab_file, figures={2: {"loss": float("nan")}})

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))

    def error_of(folder, callback=None):
        try:
            one_weight.run(directory / folder, vocab_file, callback=callback)
        except (OSError, ValueError) as error:
            return f"{type(error).__name__}: {error}"

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    found["full"] = error_of("full", doing(limit, 3 if worker == 0 else None))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    workers._SECONDS_TO_APPEAR = 0.2
    found["apart"] = error_of(f"apart-{worker}")
    if worker == 1:
        checkpoint_directory.list_checkpoints = lambda directory: {}
    found["stale"] = error_of("run")
    return found


def second(strategy, worker, directory):
    """Resumes the interrupted runs, and takes the same runs without a break; writes both weights.

    Returns:
        By run, the steps of the run after which its stages were started.
    """
    import numpy as np

    from labse_tf.training import fine_tuning, pretraining
    from labse_tf.training.loop import train

    starts, found = [], {}

    def train_and_note(task, config, stage, state, *arguments, **options):
        starts.append(stage.first + state.step)
        train(task, config, stage, state, *arguments, **options)

    fine_tuning.train = pretraining.train = train_and_note
    for name in INTERRUPTED:
        for workdir in (name, f"{name}-whole"):
            model = run(name, directory, directory / workdir)
            np.savez(
                directory / f"{workdir}-{worker}.npz",
                **{weight.name: weight.numpy() for weight in model.encoder.weights},
            )
            found[workdir] = starts.copy()
            starts.clear()
    return found


def preempted(name, directory, worker, step):
    """Takes a run in which the second worker gets SIGTERM; returns the step that was saved."""
    from labse_tf.training.preemption import Preempted

    def ask():
        os.kill(os.getpid(), signal.SIGTERM)

    try:
        run(name, directory, directory / name, doing(ask, step if worker == 1 else None)())
    except Preempted as end:
        return int(re.search(r"the checkpoint of step (\d+) is saved", str(end))[1])


def run(name, directory, workdir, *callbacks):
    """Takes one of the INTERRUPTED runs; returns its model."""
    import dataclasses

    from labse_tf.training.fine_tuning import fine_tune
    from labse_tf.training.pretraining import pretrain
    from tests.training import pretraining_runs, runs

    stages = name.endswith("stages")
    if name.startswith("fine-tuning"):
        held_out = [str(directory / "pairs.tsv")]
        config = dataclasses.replace(runs.CONFIG, stages="0:50%,1:50%" if stages else "")
        vocabulary = (directory / "vocab.txt").read_text().splitlines()
        model = runs.make_model(str(directory / "vocab.txt"), len(vocabulary), 0)
        return fine_tune(model, held_out, config, workdir, callbacks=callbacks, held_out=held_out)
    from labse_tf.training import pretraining

    pretraining.read_masked = shares_of(directory)
    config = pretraining_runs.CONFIG
    if not stages:
        config = dataclasses.replace(config, stages="")
    model = pretraining_runs.make_model(str(directory / "words.txt"))
    files = [str(directory / "text.tsv")]
    return pretrain(model, files, files, config, workdir, callbacks=callbacks)


def write_batches(directory):
    """Writes the global batches of pre-training, since reading them takes most of such a run."""
    import numpy as np
    import tensorflow as tf

    from labse_tf import Preprocessor
    from labse_tf.data.masked_text import read_masked
    from labse_tf.data.masking import Masking
    from tests.training.pretraining_runs import CONFIG

    preprocessor = Preprocessor(str(directory / "words.txt"), 14)
    masking = Masking(preprocessor, CONFIG.mask_rate)
    files = [str(directory / "text.tsv")]
    batches = read_masked(files, files, preprocessor, masking, CONFIG.batch_size, seed=CONFIG.seed)
    read = list(batches.take(CONFIG.steps))
    arrays = {name: tf.stack([batch[name] for batch in read]).numpy() for name in read[0]}
    np.savez(directory / "batches.npz", **arrays)


def shares_of(directory):
    """Returns what stands in for `read_masked`: it gives each worker its rows of the batches."""
    import numpy as np
    import tensorflow as tf

    def read_masked(*arguments, skip, input_context, **options):
        workers, worker = input_context.num_input_pipelines, input_context.input_pipeline_id
        with np.load(directory / "batches.npz") as file:
            shares = {k: np.split(v, workers, axis=1)[worker][skip:] for k, v in file.items()}
        return tf.data.Dataset.from_tensor_slices(shares)

    return read_masked


def doing(action, step):
    """Returns the class of a callback that acts in a step of the run; None: never."""
    import tf_keras

    class Acting(tf_keras.callbacks.Callback):
        steps = 0

        def __init__(self, *arguments):
            super().__init__()

        def on_train_batch_end(self, batch, logs=None):
            self.steps += 1
            if self.steps == step:
                action()

    return Acting


if __name__ == "__main__":
    main(*sys.argv[1:])
