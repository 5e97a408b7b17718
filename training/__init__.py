"""GTZAN in, models out: the only package that imports TensorFlow, Keras and librosa."""
