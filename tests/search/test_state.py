"""The state of a search in a file."""

import numpy as np

from labse_tf.search.state import SearchState


def test_it_is_written_from_time_to_time(tmp_path):
    path = tmp_path / "state.npz"
    assert SearchState(path).read() is None and SearchState().read() is None
    SearchState().write(lambda: 1 / 0)  # nothing is kept, nothing is asked for
    SearchState(path, every=1000).write(lambda: 1 / 0)
    state = SearchState(path, every=0)
    for number in range(2):
        state.write(lambda n=number: {"next": np.array(n), "rows": np.arange(3)})
    found = SearchState(path).read()
    assert int(found["next"]) == 1 and found["rows"].tolist() == [0, 1, 2]
    assert [p.name for p in tmp_path.iterdir()] == ["state.npz"]
