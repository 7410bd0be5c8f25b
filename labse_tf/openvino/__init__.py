"""What embeds by OpenVINO in TensorFlow's stead, without importing it."""
