"""SIGTERM in the middle of a run."""

import signal

from labse_tf.training.callbacks import Reports


def terminate():
    """Calls the handler of SIGTERM, as the signal would.

    Not a real signal: pytest's faulthandler gives this thread a stack for signals of its own, on
    which a processor's matrix registers may find no room.
    """
    signal.getsignal(signal.SIGTERM)(signal.SIGTERM, None)


def terminate_in_step(patch, asked):
    """Has SIGTERM come in a step, counted from the start of `fit`; `patch` is a MonkeyPatch."""
    report = Reports.on_train_batch_end

    def report_and_terminate(self, batch, logs=None):
        report(self, batch, logs)
        if batch + 1 == asked:
            terminate()

    patch.setattr(Reports, "on_train_batch_end", report_and_terminate)
