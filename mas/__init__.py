"""Self-supervised video learning in Keras: raw video in, a pre-trained 3D CNN out."""

__version__ = "0.1.0"
