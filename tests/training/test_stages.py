"""Stages of a run: what is written of them, and what they are."""

import pytest

from labse_tf.training.stages import parse_stages


def test_by_hand():
    stages = parse_stages("0:20%, 2:30%,6:50%", 1001)
    assert [stage[1:] for stage in stages] == [(0, 0, 200), (2, 200, 300), (6, 500, 501)]
    assert [stage.name for stage in stages] == ["stage-1", "stage-2", "stage-3"]
    assert [stage.directory("run") for stage in stages[:2]] == ["run/stage-1", "run/stage-2"]
    (whole,) = parse_stages("", 7)
    assert whole == ("", None, 0, 7) and whole.directory("run") == "run"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0:20%,2", "must be like"),
        ("0:20%,2:30%", "50%, not 100%"),
        ("2:50%,2:50%", "must increase"),
        ("0:0.01%,2:99.99%", "has none of the 1001 steps"),
    ],
)
def test_what_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse_stages(text, 1001)
