"""Pictures of what a clip holds, what is asked about it, and what a network learned from it.

The functions take arrays and return figures, bytes or text; `output.write` puts them on the disk.
"""

from mas.visualize import output, reading
from mas.visualize.attention import (
    animate_attention,
    attention,
    attention_map,
    draw_attention,
    over_frames,
)
from mas.visualize.clip import animate_clip, draw_clip
from mas.visualize.colours import flow_colours, full_colour, heated
from mas.visualize.embedding import bounded_perplexity, draw_embedding, embedding_page, plane
from mas.visualize.pictures import clip_pictures
from mas.visualize.retrieval import page, read_neighbours
from mas.visualize.statistics import draw_statistics
from mas.visualize.training import TrainingPictures
from mas.visualize.views import draw_views, view_names

__all__ = [
    "TrainingPictures",
    "animate_attention",
    "animate_clip",
    "attention",
    "attention_map",
    "bounded_perplexity",
    "clip_pictures",
    "draw_attention",
    "draw_clip",
    "draw_embedding",
    "draw_statistics",
    "draw_views",
    "embedding_page",
    "flow_colours",
    "full_colour",
    "heated",
    "output",
    "over_frames",
    "page",
    "plane",
    "read_neighbours",
    "reading",
    "view_names",
]
