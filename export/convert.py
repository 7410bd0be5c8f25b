"""Converts a model from one format to another: the same as `labse convert`."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from labse_tf.commands.main import main

if __name__ == "__main__":
    sys.argv.insert(1, "convert")
    main()
