"""The benchmarks of the paper."""
