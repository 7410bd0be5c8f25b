"""Other people's weights in, ours out: TF-Hub, Hugging Face, the TensorFlow Model Garden."""
