"""Two worker processes: equality with one device, interrupted and resumed runs, what is refused."""

import functools

import numpy as np
import pytest

from tests.training import one_weight
from tests.training.replicas import ONE_DEVICE, trained
from tests.training.runs import checkpoints
from tests.training.test_replicas import ATOL
from tests.two_workers import run_two_workers

trained_on_one_device = functools.cache(functools.partial(trained, ONE_DEVICE))


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    return folder, *run_two_workers(folder)


def test_two_worker_processes(two_workers):
    folder, outputs, _ = two_workers
    history_1, weights_1 = trained_on_one_device(num_layers=1)
    for worker in range(2):
        with np.load(folder / f"worker-{worker}.npz") as saved:
            assert set(saved.files) == set(weights_1)
            for name, weight in weights_1.items():
                np.testing.assert_allclose(saved[name], weight, atol=ATOL, err_msg=name)
    losses = [output["loss"] for output in outputs]
    assert losses == pytest.approx([history_1["loss"][0]] * 2, abs=1e-5)


def test_the_first_worker_writes(two_workers):
    folder, outputs, _ = two_workers
    assert checkpoints(folder / "run") == [4, 8, 12]
    assert len(list((folder / "run" / "logs").iterdir())) == 1
    assert outputs[0]["weight"] == outputs[1]["weight"]


@pytest.mark.parametrize(
    ("name", "saved", "steps"),
    [
        ("fine-tuning", [6], [6]),
        ("fine-tuning-stages", [6, 3], [6, 9]),
        ("pre-training", [4], [4]),
        ("pre-training-stages", [4, 2], [4, 6]),
    ],
)
def test_two_workers_resume(name, saved, steps, two_workers):
    """The second one alone got SIGTERM; the weights are those of a run without a break."""
    folder, first, second = two_workers
    assert [output["preempted"][name] for output in first] == [saved[-1]] * 2
    assert [output[name] for output in second] == [steps] * 2
    for worker in range(2):
        with (
            np.load(folder / f"{name}-{worker}.npz") as resumed,
            np.load(folder / f"{name}-whole-0.npz") as whole,
        ):
            assert set(resumed.files) == set(whole.files)
            for weight in whole.files:
                np.testing.assert_allclose(resumed[weight], whole[weight], atol=1e-6)
    stages = [f"stage-{i + 1}" for i in range(len(saved))] if len(saved) > 1 else ["."]
    for stage in stages:
        found, expected = (checkpoints(folder / run / stage) for run in (name, f"{name}-whole"))
        assert found[-1] == expected[-1]


def test_workers_without_a_shared_directory(two_workers):
    for worker, output in enumerate(two_workers[1]):
        assert output["apart"].startswith("ValueError: ")
        assert f"apart-{worker}' is not shared by the workers: worker 1 does" in output["apart"]
        assert not list((two_workers[0] / f"apart-{worker}").glob("*"))


def test_workers_that_start_after_different_steps(two_workers):
    for output in two_workers[1]:
        assert "ValueError: The workers start after different steps" in output["stale"]
        assert "worker 0: 12, worker 1: 0" in output["stale"]


def test_a_full_disk_ends_all_workers(two_workers):
    errors = [output["full"] for output in two_workers[1]]
    for error in errors:
        assert error.startswith("OSError: The checkpoint of step 4 could not be written: ")
    assert "see the error of worker 0" in errors[1] and "worker 0" not in errors[0]
    assert checkpoints(two_workers[0] / "full") == [0]


def test_each_worker_writes_its_part_of_a_step_that_is_not_finite(two_workers):
    folder = two_workers[0] / "not-finite"
    found = []
    for worker in range(2):
        with np.load(folder / f"not-finite-step-2-worker-{worker}.npz") as written:
            found.append(written["0/ids"].ravel())
    np.testing.assert_array_equal(np.concatenate(found), one_weight.IDS[1])
    assert checkpoints(folder) == [0]
