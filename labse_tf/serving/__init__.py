"""TensorFlow Serving: a directory that it serves, and a client."""
