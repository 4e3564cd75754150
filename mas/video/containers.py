"""Checks from its container whether a file is complete, without decoding anything.

A container declares the lengths of its parts. If a part ends after the end of the file, the file is
truncated. If no part begins where the previous one ends, the bytes in between are damaged. The
decoder ignores both silently.

Supported are RIFF (avi), ISO base media (mp4, mov, m4v, 3gp), EBML (mkv, webm), FLV, ASF (wmv),
GIF, Ogg and MPEG (mpg, ts, mts, m2ts). Data after the frames, such as an index, may be missing.
"""

from __future__ import annotations

import dataclasses
import os
import struct
import zlib

from mas.files import PathLike

ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
SEGMENT, CLUSTER = 0x18538067, 0x1F43B675
# Elements allowed in a segment besides clusters, in a cluster, and anywhere.
EBML_PARTS = {0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1254C367, 0x1043A770, 0x1941A469}
CLUSTER_PARTS = {0xE7, 0x5854, 0xA7, 0xAB, 0xA3, 0xA0, 0xAF}
ISO_PARTS = b"moof mdat styp sidx ssix emsg prft mfra uuid ftyp moov free skip wide udta meta pdin"
EBML_HEADER, EBML_FILLERS = 0x1A45DFA3, {0xEC, 0xBF}
MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclasses.dataclass(frozen=True)
class Flaw:
    """A structural error in a file.

    Attributes:
        missing: number of bytes that the container declares but the file lacks.
        place: offset at which no part of the container begins although one should, or None.
    """

    missing: int = 0
    place: int | None = None

    def __bool__(self) -> bool:
        """Whether there is an error."""
        return self.missing > 0 or self.place is not None


WHOLE = Flaw()


def check(path: PathLike) -> Flaw:
    """Checks the structure of a file; returns `WHOLE` if it is correct or the format is unknown."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        start = file.read(3 * 204)  # three packets of a transport stream
        for recognised, walk in WALKS:
            if recognised(start):
                return walk(file, size)
    return WHOLE


def missing_bytes(path: PathLike) -> int:
    """Returns the number of bytes that the container declares but the file lacks."""
    return check(path).missing


def _at(file, position, count):
    """Reads `count` bytes at a position, or fewer at the end of the file."""
    file.seek(min(position, 2**43))  # 8 TiB, in case a damaged file says more
    return file.read(count)


def _until(end, size):
    return Flaw(missing=end - size) if end > size else WHOLE


def _riff(file, size):
    """Checks RIFF: each chunk (large files have several) contains a list of frames, `movi`."""
    position, end, pictures = 0, 0, False
    while position + 12 <= size:
        name, length, kind = struct.unpack("<4sI4s", _at(file, position, 12))
        if name == b"RIFF":
            end, pictures = position + 8 + length, False
            position += 12
        elif position >= end:
            break  # data after the last chunk
        else:
            position += 8 + length + length % 2
            pictures = pictures or (name == b"LIST" and kind == b"movi")
            if pictures and position - length % 2 > size and kind == b"movi":
                return _until(position - length % 2, size)
    return WHOLE if pictures else _until(end, size)


def _iso(file, size):
    """Checks ISO boxes: frames are in `mdat`, their positions in `moov` and `moof`.

    Fragments start with a `moof`, are numbered, and have only known boxes between them.
    """
    position, index, fragment = 0, False, 0
    while position < size:
        header = _at(file, position, 16)
        if len(header) < 8:
            return WHOLE if index else _until(position + 8, size)
        length, name = struct.unpack(">I4s", header[:8])
        if length == 1 and len(header) == 16:
            length = struct.unpack(">Q", header[8:])[0]
        elif length == 0:  # the box runs to the end of the file
            length = size - position
        if length < 8 or (fragment and name not in ISO_PARTS.split()):
            return WHOLE if index and not fragment else Flaw(place=position)
        if name == b"moof":
            number = int.from_bytes(_at(file, position + 20, 4), "big")
            if number > fragment + 1 and fragment:
                return Flaw(place=position)
            fragment = number
        index = index or name in (b"moov", b"moof")
        position += length
        if position > size and (name in (b"mdat", b"moov", b"moof") or not index):
            return _until(position, size)
    return WHOLE if index else Flaw(place=position)


def _ebml(file, size):
    """Checks EBML: a segment of clusters, which hold the blocks; both may have unknown length."""
    position, ends, clusters = 0, {}, False
    while position < size:
        name, length, start = _ebml_element(_at(file, position, 12), position)
        within = ends.get(CLUSTER, size)
        if name == SEGMENT or name == CLUSTER:
            clusters = clusters or name == CLUSTER
            ends[name] = None if length is None else start + length
            position = start
            continue
        known = EBML_PARTS | EBML_FILLERS | {EBML_HEADER} | (CLUSTER_PARTS if clusters else set())
        if name not in known or length is None:
            trailing = ends.get(SEGMENT) is not None and position >= ends[SEGMENT]
            return WHOLE if trailing else _until(start, size) or Flaw(place=position)
        if name in CLUSTER_PARTS and within is not None and start + length > within:
            return Flaw(place=position)
        position = start + length
        if name in EBML_PARTS and clusters and position > size:
            return WHOLE
    return _until(max([position, *filter(None, ends.values())]), size)


def _ebml_element(header, position):
    """Parses an element header: (ID, length or None if unknown, position of its content)."""
    if not header or not header[0] >> 4:
        return 0, None, position
    count = 9 - header[0].bit_length()
    name = int.from_bytes(header[:count], "big")
    first = header[count : count + 1]
    if not first or not first[0]:
        return name, None, position + count + 1
    extra = 8 - first[0].bit_length()
    rest = header[count + 1 : count + 1 + extra]
    value = int.from_bytes(bytes([first[0] & (0x7F >> extra)]) + rest, "big")
    start = position + count + 1 + extra
    return name, None if value == (1 << (7 * (extra + 1))) - 1 else value, start


def _flv(file, size):
    """Checks FLV: tags of audio, video or data, each followed by its length."""
    position = int.from_bytes(_at(file, 5, 4), "big") + 4
    while position < size:
        header = _at(file, position, 11)
        if header[0] & 0x1F not in (8, 9, 18):
            return Flaw(place=position)
        position += 11 + int.from_bytes(header[1:4], "big") + 4
    return _until(position, size)


def _asf(file, size):
    """Checks ASF: the header gives the number and length of packets, except in broadcasts."""
    position, end = 30, int.from_bytes(_at(file, 16, 8), "little")
    while 30 <= position < min(end, size):
        properties = _at(file, position, 100)
        if properties[:16] == ASF_FILE_PROPERTIES and len(properties) == 100:
            packets = int.from_bytes(properties[56:64], "little")
            flags, _, length = struct.unpack("<III", properties[88:])
            starts = range(end + 50, min(end + 50 + packets * length, size), length or 1)
            if flags & 1:
                return WHOLE
            first = _at(file, end + 50, 1)
            for start in starts if first == b"\x82" else ():  # with two bytes of error correction
                if _at(file, start, 1) != first:
                    return Flaw(place=start)
            return _until(end + 50 + packets * length, size)
        position += max(24, int.from_bytes(properties[16:24], "little"))
    return _until(end, size)


def _gif(file, size):
    """Checks GIF: images and extensions, in blocks of up to 255 bytes."""
    position = 13 + _palette(_at(file, 10, 1))
    while position < size:
        header = _at(file, position, 10)
        if header[:1] == b";":
            return WHOLE
        if header[:1] == b"!":
            position += 2
        elif header[:1] == b"," and len(header) == 10:
            position += 11 + _palette(header[9:])
        else:
            return _until(position + 10, size) or Flaw(place=position)
        while block := _at(file, position, 1):
            position += 1 + block[0]
            if not block[0]:
                break
        else:
            return _until(max(position, size + 1), size)
    return _until(position, size)


def _palette(flags):
    """Returns the length of a colour table."""
    return 3 * 2 ** ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _ogg(file, size):
    """Checks Ogg: pages with checksums, numbered in each stream."""
    position, following = 0, {}
    while position < size:
        header = _at(file, position, 27)
        if header[:4] != b"OggS"[: len(header)]:
            return Flaw(place=position)
        if len(header) < 27:
            return _until(position + 27, size)
        length = 27 + header[26] + sum(_at(file, position + 27, header[26]))
        if position + length > size:
            return _until(position + length, size)
        page = bytearray(_at(file, position, length))
        stream, number, checksum = struct.unpack("<III", page[14:26])
        page[22:26] = bytes(4)
        if _ogg_checksum(page) != checksum or following.get(stream, number) != number:
            return Flaw(place=position)
        following[stream] = number + 1
        position += length
    return WHOLE


def _ogg_checksum(page):
    """Returns the CRC-32 of a page: most significant bit first, without inversion."""
    mirrored = zlib.crc32(page.translate(MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def _transport(packet, offset):
    """Returns the check of MPEG transport streams: fixed-length packets with a sync byte."""

    def walk(file, size):
        file.seek(0)
        position = 0
        while chunk := file.read(packet * 1000):
            marks = chunk[offset::packet]
            if marks.strip(b"G"):
                index = next(i for i, mark in enumerate(marks) if mark != 0x47)
                return Flaw(place=position + index * packet)
            position += len(chunk)
        return Flaw(missing=-size % packet)

    def recognised(start):
        return start[offset::packet][:3] == b"GGG"

    return recognised, walk


def _program(file, size):
    """Checks MPEG program streams: packs, and packets that declare their length."""
    position = 0
    while position + 4 <= size:
        header = _at(file, position, 14)
        code = header[3]
        if header[:3] != b"\0\0\1" or code < 0xB9:
            if header[:4] != bytes(4):
                return Flaw(place=position)
            position += 1  # zero padding
        elif code == 0xBA:
            position += 14 + (header[-1] & 7) if header[4:5] > b"\x3f" else 12
        elif code == 0xB9:
            position += 4
        else:
            position += 6 + int.from_bytes(header[4:6], "big")
    return _until(position, size)


WALKS = (
    (lambda start: start[:4] == b"RIFF" and start[8:12] == b"AVI ", _riff),
    (lambda start: start[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"), _iso),
    (lambda start: start[:4] == b"\x1a\x45\xdf\xa3", _ebml),
    (lambda start: start[:3] == b"FLV", _flv),
    (lambda start: start[:16] == ASF, _asf),
    (lambda start: start[:4] == b"GIF8", _gif),
    (lambda start: start[:4] == b"OggS", _ogg),
    (lambda start: start[:4] == b"\0\0\1\xba", _program),
    _transport(188, 0),
    _transport(192, 4),
    _transport(204, 0),
)
