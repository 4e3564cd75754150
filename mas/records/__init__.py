"""The two storage formats of prepared videos. The only place that names features and files.

Folders of video files can also be read, without preparation (`Videos`).

Shards (the default), written by `write_shard`:

    DATA/dataset.json            how the data were made; written last, when all is complete
    DATA/videos-00000.tfrecord   one tf.train.Example per video:
        video   bytes   its id: the path below the video folder without extension
        size    int64   height, width in pixels
        rate    float   frames per second, 0 if unknown
        images  bytes   concatenated image files of frame 0 (rgb, u, v), frame 1 (rgb, u, v), ...:
                        JPEG; u and v are PNG if flow was computed at a larger size
        lengths bytes   uint32, little endian, (frames, 3): lengths of the files; 0 without flow
        checksums bytes uint32, little endian, (frames, 3): their `zlib.crc32`; not in old versions
    DATA/videos-00000.csv        video, frames, height, width; offsets of `lengths`, `images` and
                                 `checksums` in the shard, so that a clip is one contiguous read;
                                 frames per second; `crc32` of the line

Folders, in Feichtenhofer's layout:

    DATA/jpegs_256/ID/frame000001.jpg          RGB
    DATA/tvl1_flow/{u,v}/ID/frame000001.jpg    flow from frame 1 to frame 2, as in `flow.encode`
    DATA/checksums/ID                          their lengths and checksums, frame rate: see `sums`

Frames extracted by other tools have no checksums. They may have other names (`frames`), include
flow, and be in DATA itself.

In both formats, u and v of frame t are the motion from frame t to t + 1; the last frame has none.
"""

from mas.records.checking import Checked, Fault, check_data, read_through
from mas.records.description import Faults, described, read_sealed, seal, settings
from mas.records.folders import Folders
from mas.records.images import decode
from mas.records.layout import (
    DAMAGED,
    DESCRIPTION,
    FAILURES,
    FLOW_FOLDER,
    FRAME_FILE,
    INDEX_FIELDS,
    RGB_FOLDER,
    UNFINISHED,
    DamagedError,
    Prepared,
    Row,
    damaged,
    index_checksum,
    read_failures,
    read_index,
    read_table,
    row_checksum,
)
from mas.records.reading import READERS, Data, open_data, opened, pictures
from mas.records.shards import Shards, read_shard
from mas.records.videos import Videos, index_path
from mas.records.writing import (
    build_shard,
    place_folders,
    place_shard,
    remove,
    remove_unfinished,
    restore_indices,
    stage,
    stage_folders,
    write_description,
    write_shard,
)

__all__ = [
    "DAMAGED",
    "DESCRIPTION",
    "FAILURES",
    "FLOW_FOLDER",
    "FRAME_FILE",
    "INDEX_FIELDS",
    "READERS",
    "Row",
    "RGB_FOLDER",
    "UNFINISHED",
    "Checked",
    "Data",
    "DamagedError",
    "Fault",
    "Faults",
    "Folders",
    "Prepared",
    "Shards",
    "Videos",
    "build_shard",
    "check_data",
    "damaged",
    "decode",
    "described",
    "index_checksum",
    "index_path",
    "open_data",
    "opened",
    "pictures",
    "place_folders",
    "place_shard",
    "read_failures",
    "read_index",
    "read_sealed",
    "read_shard",
    "read_table",
    "read_through",
    "remove",
    "remove_unfinished",
    "restore_indices",
    "row_checksum",
    "seal",
    "settings",
    "stage",
    "stage_folders",
    "write_description",
    "write_shard",
]
