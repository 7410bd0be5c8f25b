"""labse encode, interrupted and resumed."""

import fcntl

import numpy as np

from labse_tf.commands.main import main
from tests.running import run


def test_a_refused_resume_gives_one_piece_of_advice(model, release, tmp_path):
    """The rows that cannot be resumed are not offered to be resumed in the same breath."""
    text, output = tmp_path / "text.txt", tmp_path / "rows.npy"
    arguments = ["encode", text, "--model", release, "--output", output]
    text.write_bytes(b"the cat\nTom\n\xff\n")
    interrupted = run(main, *arguments)
    assert interrupted.returncode == 2
    assert f"2 rows are kept in {output}.unfinished: resume with --resume" in interrupted.stderr

    text.write_text("the cat\nTom\nthe\n")
    other = run(main, *arguments, "--resume", "--long", "mean")
    assert other.returncode == 2 and "long was 'cut' and is now 'mean'" in other.stderr
    assert "--resume" not in other.stderr
    text.write_text("the dog\nTom\nthe\n")
    other = run(main, *arguments, "--resume")
    assert other.returncode == 2 and "sentences 1 to 2 are not the same" in other.stderr
    assert "--resume" not in other.stderr

    text.write_text("the cat\nTom\nthe\n")
    with open(f"{output}.unfinished", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        second = run(main, *arguments, "--resume")
        assert second.returncode == 2 and "Another process writes" in second.stderr
        assert "--resume" not in second.stderr
    assert run(main, *arguments, "--resume").returncode == 0
    np.testing.assert_allclose(
        np.load(output), model.encode(["the cat", "Tom", "the"]), rtol=0, atol=1e-5
    )
