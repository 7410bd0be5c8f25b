"""The parent's side of the speed benchmark's workers: start, ask one at a time, stop."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "TRANSFORMERS_VERBOSITY": "error"}
ENVIRONMENT = {**os.environ, **QUIET, "CUDA_VISIBLE_DEVICES": "-1", "HF_HUB_OFFLINE": "1"}
_TICKS = os.sysconf("SC_CLK_TCK")  # a second


class WorkerProcess:
    """A worker, suspended unless it has been asked: idle thread pools may spin.

    Args:
        name: of the system.
        arguments: of the module after the name.
        module: what runs in the process.
    """

    def __init__(self, name: str, *arguments, module: str = "speed_worker"):
        self.name = name
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.benchmark.{module}", name, *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            cwd=ROOT, env=ENVIRONMENT,
        )  # fmt: skip

    def ask(self, order: str, **arguments) -> dict:
        """Lets it do something alone, and suspends it again.

        Raises:
            SystemExit: it has died; the message has the end of what it wrote on stderr.
        """
        self._process.send_signal(signal.SIGCONT)
        try:
            print(json.dumps({"order": order, **arguments}), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            code = self._process.wait()
            self._errors.seek(0)
            tail = self._errors.read().decode(errors="replace").splitlines()[-15:]
            raise SystemExit(
                f"The worker of {self.name} has died with status {code} when it was to "
                f"{order}. Its last words:\n" + "\n".join(f"    {line}" for line in tail)
            )
        self._process.send_signal(signal.SIGSTOP)
        return json.loads(answer)

    def cpu_seconds(self) -> float:
        """What it has used of all cores so far."""
        # The process's name, in brackets, may hold anything.
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
        self._process.communicate()
        self._errors.close()


def busy_seconds() -> float:
    """What all processes have used of all cores so far, and what a hypervisor gave to others."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _iowait, irq, softirq, steal = file.readline().split()[1:9]
    return sum(map(int, (user, nice, system, irq, softirq, steal))) / _TICKS
