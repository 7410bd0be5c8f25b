"""Files that can be read again and again."""

from __future__ import annotations

import os

import tensorflow as tf


def why_no_file(path: str) -> str:
    """What is wrong with a path that data is to be read from, on this machine or not; "": nothing.

    A training reads its files many times, which a pipe cannot.
    """
    if not tf.io.gfile.exists(path):
        return "does not exist"
    if tf.io.gfile.isdir(path):
        return "is a directory; give its files"
    if os.path.exists(path) and not os.path.isfile(path):
        return "is a pipe, but is read more than once; copy it to a file"
    return ""
