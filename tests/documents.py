"""Runs the commands and Python of the documents in this process, with cheap settings.

A page runs in a folder with generated videos, `videos/CLASS/ACTOR_CLASS.avi`, and the files of
earlier pages. Each command gets a few additional flags that make it cheap. They override a recipe,
but no flag that the page shows.
"""

import importlib.util
import json
import os
import pathlib
import re
import shlex
import subprocess

import video_files

from mas import cli, sample, video

ROOT = pathlib.Path(__file__).resolve().parents[1]
CLASSES = {"bend": "turn", "run": "left", "walk": "right"}  # and how they move here
ACTORS = ("daria", "denis", "eli", "ido")
FRAMES, SIZE = 20, (44, 32)

SHELL = ("mkdir", "ln")
# What installs, serves or needs a cluster is not run.
ELSEWHERE = ("git", "pip", "pytest", "python", "python3", "source", "tensorboard")

_CLIP = ("--frames=8", "--size=32", "--resize=44x32")
_TRAINING = ("--epochs=1", "--batch=4", "--tensorboard_clips=0")
# command, or command and kind: flags that are added
CHEAP = {
    "prepare": ("--size=44x32", "--flow_size=stored", "--workers=1"),
    "train": (*_TRAINING, *_CLIP, "--width=0.125"),
    "finetune": (*_TRAINING, "--test_clips=1"),
    "evaluate": ("--clips=1",),
    "evaluate pretext": ("--draws=1",),
    "sort": ("--clusters=4",),
    "visualize clip": _CLIP,
    "visualize statistics": _CLIP,
    "visualize views": (*_CLIP, "--stride=1"),
}


def blocks(path):
    """(language, text) of the fenced blocks of a page that must run."""
    text = path.read_text("utf-8")
    return re.findall(r"^```(bash|python)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(text):
    """The commands of a block, as words; a backslash joins lines."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def shown(path):
    """The words after `mas` of each command on a page, in blocks and indented lines."""
    text = path.read_text("utf-8")
    fenced = [block for language, block in blocks(path) if language == "bash"]
    indented = re.findall(r"^    mas (?:.*\\\n)*.*$", text, re.MULTILINE)
    for block in (*fenced, *indented):
        yield from (words[1:] for words in commands(block) if words[0] == "mas")


def write_videos(folder):
    """Writes the reader's videos: videos/CLASS/ACTOR_CLASS.avi, new_videos/, clip.mp4."""
    others = {"new_videos/lena_run.avi": "FFV1", "clip.mp4": "mp4v"}
    for seed, (name, codec) in enumerate(others.items(), len(ACTORS)):
        video_files.write(folder / name, sample.clip(CLASSES["run"], seed, FRAMES, SIZE), codec)
    for name, motion in CLASSES.items():
        (folder / "videos" / name).mkdir(parents=True)
        for seed, actor in enumerate(ACTORS):
            path = folder / "videos" / name / f"{actor}_{name}.avi"
            video.write(path, sample.clip(motion, seed, FRAMES, SIZE))


def run(path, replaced=()):
    """Runs the blocks of a page, in order, in the current folder.

    Args:
        path: the page.
        replaced: (old, new) parts of its Python, which make it cheap.

    Returns:
        The names that its Python defined.
    """
    names = {"__name__": path.stem}
    for number, (language, text) in enumerate(blocks(path), 1):
        place = f"{path.name}, block {number}"
        if language == "bash":
            run_commands(text, place)
            continue
        for old, new in replaced:
            text = text.replace(old, new)
        exec(compile(text, place, "exec"), names)
    return names


def code_cells(path):
    """The code cells of a notebook, as the notebook format has them."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def run_notebook(path):
    """Runs the code cells of a notebook in order; returns the names that they defined."""
    names = {"__name__": path.stem}
    for number, cell in enumerate(code_cells(path), 1):
        source = "".join(line for line in cell["source"] if not line.startswith("%"))
        exec(compile(source, f"{path.name}, cell {number}", "exec"), names)
    return names


def run_commands(text, place):
    """Runs the commands of a block."""
    for words in commands(text):
        assert words[0] in ("mas", *SHELL, *ELSEWHERE), f"{place}: {' '.join(words)}"
        if words[0] in SHELL:
            subprocess.run([os.path.expandvars(word) for word in words], check=True)
        if words[0] == "mas":
            status = cli.main(*cheap(words[1:]))
            assert status == 0, f"{place}: {' '.join(words)} ended with {status}"


def cheap(words):
    """A command line with the flags that make it cheap."""
    kind = " ".join(words[:2])
    added = CHEAP.get(kind, CHEAP.get(words[0], ()))
    given = {word.partition("=")[0] for word in words}
    if words[0] == "evaluate" and "--model" not in given:  # features that are there already
        added = ()
    if words[0] == "finetune" and "--init" not in given:
        added = (*added, *_CLIP, "--width=0.125")
    return [*words, *added]


def links(path):
    """The relative links and pictures of a page."""
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", text))
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def headings(path):
    """The headings of a page, as links name them."""
    text = re.sub(r"^```.*?^```$", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = []
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.append(f"{name}-{found.count(name)}" if name in found else name)
    return found


def load(path):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(f"{path.stem}_script", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
