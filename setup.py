"""Distribution `mas-video`, import `mas` (`mas` on PyPI is another project)."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "mas" / "__init__.py").read_text()).group(1)

setup(
    name="mas-video",
    version=VERSION,
    description="Self-supervised video learning in Keras: raw video in, a pre-trained 3D CNN out",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["mas", "mas.*"]),
    python_requires=">=3.10,<3.14",  # what TensorFlow 2.21 has wheels for
    install_requires=[
        "tensorflow>=2.20,<2.22",  # 2.20 is the first with wheels for Python 3.13
        "keras>=3.10,<4",
        "tensorboard>=2.20,<2.22",  # TensorFlow 2.21 no longer brings it, and tf.summary needs it
        # TV-L1 flow is in the contrib modules; headless, for servers. It contains all of
        # opencv-python: installed beside it, the two overwrite each other.
        "opencv-contrib-python-headless>=4.10,<6",
        "numpy>=1.26",
        "numba>=0.61",  # label loops without the interpreter lock; 0.61 is the first for 3.13
        "scipy>=1.13",
        "absl-py>=2.1",
        "tqdm>=4.66",
        "matplotlib>=3.8",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.20,<2.22"],
        # mas.convert alone reads with these: the authors' checkpoints, once per checkpoint.
        "convert": [
            "torch>=2.10",  # until then weights_only=True could run code: CVE-2026-24747
            "safetensors>=0.5",  # the first with wheels for Python 3.13
        ],
        "test": ["pytest>=8", "ruff>=0.8"],
    },
)
