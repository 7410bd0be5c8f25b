"""The batch sizes of a served release; apart, since clients need them without TensorFlow."""

# Of the warm-up requests, and of the batches that a server is configured to make.
BATCH_SIZES = (1, 2, 4, 8, 16, 32)
