"""Embedding without TensorFlow: a release read by NumPy and run by OpenVINO."""
