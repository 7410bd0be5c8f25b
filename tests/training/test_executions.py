"""Several steps an execution, and steps that XLA compiles."""

import dataclasses
import math

import pytest

from labse_tf.training.config import FineTuningConfig
from labse_tf.training.fine_tuning import fine_tune
from labse_tf.training.preemption import Preempted
from tests.training import one_weight
from tests.training.logs import read_logs
from tests.training.runs import CONFIG, assert_same, checkpoints
from tests.training.signals import terminate_in_step

SEVERAL = dataclasses.replace(CONFIG, steps_per_execution=2)
FOUR = dataclasses.replace(
    one_weight.CONFIG, report_every=4, evaluate_every=4, steps_per_execution=4
)


def test_the_weights_are_the_same(finished, new_model, pairs, tmp_path):
    """To the bit, and what is reported too."""
    assert_same(fine_tune(new_model(), [pairs], SEVERAL, tmp_path), finished[1])
    several, single = read_logs(tmp_path), read_logs(finished[0])
    for name in ("loss", "negatives", "gradient_norm", "learning_rate"):
        assert several[name] == single[name], name


def test_a_run_that_is_asked_to_end(vocab_file, tmp_path):
    """It ends with the execution, and goes on with any number that the step is a multiple of."""
    whole = one_weight.run(tmp_path / "whole", vocab_file)
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Preempted, match="of step 8 is"):
        terminate_in_step(patch, 8)
        one_weight.run(run, vocab_file, FOUR)
    assert checkpoints(run) == [0, 4, 8]
    three = dataclasses.replace(one_weight.CONFIG, checkpoint_every=3, report_every=3)
    three = dataclasses.replace(three, evaluate_every=3, steps_per_execution=3)
    with pytest.raises(ValueError, match=r"after step 8, .* `steps_per_execution` \(=3\)"):
        one_weight.run(run, vocab_file, three)
    assert one_weight.run(run, vocab_file, FOUR) == whole


def test_a_step_that_is_not_finite(vocab_file, tmp_path):
    with pytest.raises(FloatingPointError, match="The loss of one of steps 5 to 8 is nan") as error:
        one_weight.run(tmp_path, vocab_file, FOUR, figures={6: {"loss": math.nan}})
    assert f"{tmp_path}/checkpoints/ckpt-4. Started again with" in str(error.value)
    assert not list(tmp_path.glob("*.npz"))
    with pytest.raises(FloatingPointError, match="The loss of step 6 is nan"):
        one_weight.run(tmp_path, vocab_file, figures={6: {"loss": math.nan}})
    assert (tmp_path / "not-finite-step-6.npz").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps_per_execution": 0}, r"`steps_per_execution` \(=0\) must be at least 1"),
        ({"steps": 1010}, r"the steps of the run \(=1010\) must be a multiple of .* \(=20\)"),
        ({"report_every": 30}, r"`report_every` \(=30\) must be a multiple of"),
        ({"stages": "0:1%,1:99%"}, r"the steps of stage-1 \(=10\) must be a multiple of"),
        ({"jit_compile": True}, r"`jit_compile` \(=True\) .* set `static_width` \(=False\)"),
    ],
)
def test_configurations_that_do_not_fit(options, said):
    config = FineTuningConfig(steps=1000, warmup_steps=5)
    good = dict(report_every=20, checkpoint_every=100, evaluate_every=100, steps_per_execution=20)
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(config, **{**good, **options})


def test_steps_compiled_by_xla(vocab_file, tmp_path):
    """The whole step: gradients, AdamW, metrics. That of an encoder: test_gradient_caching.py."""
    config = dataclasses.replace(one_weight.CONFIG, static_width=True, ema_decay=0.5)
    plain = one_weight.run(tmp_path / "plain", vocab_file, config)
    config = dataclasses.replace(config, jit_compile=True)
    compiled = one_weight.run(tmp_path / "compiled", vocab_file, config)
    assert compiled == pytest.approx(plain, abs=1e-6) and abs(plain) > 0.01


def test_no_compiling_for_several_replicas(new_model, pairs, tmp_path, mirrored):
    with mirrored(2).scope():
        model = new_model(0)
    config = dataclasses.replace(CONFIG, static_width=True, jit_compile=True)
    with pytest.raises(ValueError, match=r"for one GPU, but the model has 2 replicas"):
        fine_tune(model, [pairs], config, tmp_path)
    assert not checkpoints(tmp_path)
