"""What a release stores its weights in; apart, since flags need it without TensorFlow."""

WEIGHTS_DTYPES = ("float32", "float16", "bfloat16", "int8")
