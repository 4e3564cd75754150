"""SavedModel for downstream use: read it with TensorFlow alone."""

import keras
import tensorflow as tf


def saved_model(backbone, model, path):
    """Writes a SavedModel with one signature, `serving_default`, from clips to all outputs.

    Input `clips`: uint8 R G B (any batch, T, H, W, 3), all preprocessing but resizing inside; or
    float32 flow (any batch, T - 1, H, W, 2) in pixels per frame, of a network that takes flow.
    Clips of another shape than the model's are refused.
    Outputs: `features` (batch, c), the mean of the last convolution's map over frames and space,
    and the model's own by name.

    Args:
        backbone: of the model, on the same input.
        model: whose outputs are a dict.
        path: folder to write.
    """
    features = keras.layers.GlobalAveragePooling3D(dtype="float32", name="features")(
        backbone.output
    )
    network = keras.Model(model.input, {"features": features, **model.output})
    shape = (None, *model.input.shape[1:])

    def serve(clips):
        clips = tf.ensure_shape(clips, shape)  # else a clip of another size fails deep inside
        return network(clips, training=False)

    archive = keras.export.ExportArchive()
    archive.track(network)
    specification = tf.TensorSpec(shape, model.input.dtype, name="clips")
    archive.add_endpoint("serving_default", serve, input_signature=[specification])
    archive.write_out(str(path), verbose=False)
