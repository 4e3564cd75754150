"""SavedModel for downstream use: read it with TensorFlow alone."""

import keras
import tensorflow as tf


def saved_model(backbone, model, path):
    """Writes a SavedModel with one signature, `serving_default`, from clips to all outputs.

    Input `clips`: uint8 R G B (any batch, T, H, W, 3), all preprocessing but resizing inside.
    Outputs: `features` (batch, c), the mean of the last convolution's map over frames and space,
    and the model's own by name.

    Args:
        backbone: of the model, on the same input.
        model: whose outputs are a dict.
        path: folder to write.
    """
    features = keras.layers.GlobalAveragePooling3D(name="features")(backbone.output)
    network = keras.Model(model.input, {"features": features, **model.output})
    clips = model.input
    archive = keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint(
        "serving_default",
        lambda clips: network(clips, training=False),
        input_signature=[tf.TensorSpec((None, *clips.shape[1:]), clips.dtype, name="clips")],
    )
    archive.write_out(str(path), verbose=False)
