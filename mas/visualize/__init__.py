"""Pictures of clips, of the targets of a task, and of what a network has learned.

The functions take arrays and return figures, bytes or text; `write` saves them to a file.

    clip = mas.visualize.read_clip("data", "v_YoYo_g01_c01", frames=16, size=112)
    figure = mas.visualize.draw_statistics(clip["rgb"], clip["flow"])
    mas.visualize.write("statistics.png", figure)

Each kind of picture has its own module: `clip`, `statistics`, `attention`, `views`, `retrieval`,
`embedding`; `training` draws for TensorBoard.
"""

from mas.visualize.attention import (
    animate_attention,
    attention,
    attention_map,
    draw_attention,
    over_frames,
)
from mas.visualize.classes import class_colours, class_name, find_class_names
from mas.visualize.clip import animate_clip, draw_clip
from mas.visualize.colours import flow_colours, full_colour, overlay
from mas.visualize.embedding import bounded_perplexity, draw_embedding, embedding_page, tsne
from mas.visualize.output import gif, write
from mas.visualize.reading import middle_frame, read_clip, read_example
from mas.visualize.retrieval import read_neighbours, retrieval_page
from mas.visualize.statistics import draw_statistics
from mas.visualize.training import TrainingPictures, clip_pictures
from mas.visualize.views import draw_views, view_names

__all__ = [
    "TrainingPictures",
    "animate_attention",
    "animate_clip",
    "attention",
    "attention_map",
    "bounded_perplexity",
    "class_colours",
    "class_name",
    "clip_pictures",
    "draw_attention",
    "draw_clip",
    "draw_embedding",
    "draw_statistics",
    "draw_views",
    "embedding_page",
    "find_class_names",
    "flow_colours",
    "full_colour",
    "gif",
    "middle_frame",
    "over_frames",
    "overlay",
    "read_clip",
    "read_example",
    "read_neighbours",
    "retrieval_page",
    "tsne",
    "view_names",
    "write",
]
