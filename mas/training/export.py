"""Exports a SavedModel, which needs only TensorFlow."""

import keras
import tensorflow as tf


def saved_model(backbone, model, path):
    """Writes a SavedModel with one signature, `serving_default`, from clips to all outputs.

    Input `clips`: uint8 R G B (batch, T, H, W, 3); the network normalises them but does not
    resize. For a flow network, float32 flow (batch, T - 1, H, W, 2) in pixels per frame. Clips of
    any other shape raise an error.
    Outputs: `features` (batch, c), the mean of the last feature map over time and space, and the
    model's outputs by name.

    Args:
        backbone: backbone of the model, with the same input.
        model: model whose outputs are a dict.
        path: folder to write.
    """
    features = keras.layers.GlobalAveragePooling3D(dtype="float32", name="features")(
        backbone.output
    )
    network = keras.Model(model.input, {"features": features, **model.output})
    shape = (None, *model.input.shape[1:])

    def serve(clips):
        clips = tf.ensure_shape(clips, shape)  # a clear error for clips of another size
        return network(clips, training=False)

    archive = keras.export.ExportArchive()
    archive.track(network)
    specification = tf.TensorSpec(shape, model.input.dtype, name="clips")
    archive.add_endpoint("serving_default", serve, input_signature=[specification])
    archive.write_out(str(path), verbose=False)
