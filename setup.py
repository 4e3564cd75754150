"""Distribution `mas-video`, import `mas` (`mas` on PyPI is another project)."""

import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "mas" / "__init__.py").read_text()).group(1)

# Where the project is published, such as https://github.com/OWNER/mas-video: to be filled in.
ADDRESS = ""
LINKS = {
    "Documentation": "blob/main/docs/index.md",
    "Source": "",
    "Issues": "issues",
    "Changes": "blob/main/CHANGELOG.md",
}

FAISS = "faiss-cpu>=1.10"  # MIT
RAY = "ray>=2.52"  # the first that browsers cannot reach: CVE-2025-62593


def page(text, address):
    """README for readers elsewhere, as on PyPI, where relative links lead nowhere.

    They get the project's address. As long as there is none, links become their text, and
    pictures are left out.
    """
    if not address:
        text = re.sub(r"!\[[^]]*\]\((?!https?:)[^)]+\)", "", text)
        return re.sub(r"\[([^]]*)\]\((?!https?:|#)[^)]+\)", r"\1", text)
    text = re.sub(r"(!\[[^]]*\]\()(?!https?:)", rf"\1{address}/raw/main/", text)
    return re.sub(r"(\]\()(?!https?:|#)", rf"\1{address}/blob/main/", text)


setup(
    name="mas-video",
    version=VERSION,
    description="Self-supervised video learning in Keras: raw video in, a pre-trained 3D CNN out",
    long_description=page((ROOT / "README.md").read_text(encoding="utf-8"), ADDRESS),
    long_description_content_type="text/markdown",
    author="The mas authors",
    url=ADDRESS or None,
    project_urls={name: f"{ADDRESS}/{path}" for name, path in LINKS.items() if ADDRESS},
    license="MIT",
    keywords="video, self-supervised learning, action recognition, optical flow, Keras",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Environment :: GPU :: NVIDIA CUDA",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
        "Topic :: Multimedia :: Video",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    # Class names and recipes go into the package: `mas` needs them without a checkout. The class
    # names one by one, as users keep lists of their own in that folder.
    packages=[*find_packages(include=["mas", "mas.*"]), "mas.data_lists", "mas.recipes"],
    package_dir={"mas.data_lists": "data_lists", "mas.recipes": "recipes"},
    package_data={
        "mas": ["py.typed"],
        "mas.data_lists": ["ucf101_classes.txt", "hmdb51_classes.txt"],
        "mas.recipes": ["*.flags"],
    },
    entry_points={"console_scripts": ["mas = mas.cli:main"]},
    python_requires=">=3.10,<3.14",  # what TensorFlow 2.21 has wheels for
    # Tested are the newest versions and the lowest (.ci/lowest.txt): change both together.
    install_requires=[
        "tensorflow>=2.20,<2.22",  # 2.20 is the first with wheels for Python 3.13
        "keras>=3.10,<4",  # TensorFlow 2.20's own floor; saved files are for its major version
        "tensorboard>=2.20,<2.22",  # TensorFlow 2.21 no longer brings it, and tf.summary needs it
        # TV-L1 flow is in the contrib modules; headless, for servers. It contains all of
        # opencv-python: installed beside it, the two overwrite each other. 4.10 is the first built
        # for NumPy 2; 4 and 5 are tested.
        "opencv-contrib-python-headless>=4.10,<6",
        # The decoder. Since 17 it converts colours by what each frame says of itself; 17.1 is the
        # last with wheels for Python 3.10. New major versions change the API: 17 to 19 are tested.
        "av>=17.1,<20",
        "numpy>=1.26",  # TensorFlow 2.20's own floor
        "numba>=0.61",  # label loops without the interpreter lock; 0.61 is the first for 3.13
        "absl-py>=2.1",  # the lowest that is tested
        "tqdm>=4.66",  # the lowest that is tested
        "matplotlib>=3.8",  # the first for Python 3.12
        "pillow>=10.1",  # gifs and thumbnails; 10.1 is the first for Python 3.12
        "scikit-learn>=1.5.2",  # the first with wheels for Python 3.13
        "scipy>=1.13",  # ASLAN's pairs are a MATLAB file; 1.13 is the first for NumPy 2
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.20,<2.22"],
        "convert": [  # mas.convert alone needs it: the authors' checkpoints
            "torch>=2.10",  # until then weights_only=True could run code: CVE-2026-24747
            "safetensors>=0.5",  # the first with wheels for Python 3.13
        ],
        "cluster": [RAY],  # engine=ray
        "search": [FAISS],  # approximate search; one wheel of 19 MB for Python 3.10 and later
        "docs": [  # docs/conf.py; newer versions of the first two need Python 3.11
            "sphinx>=8.1",  # of both, the last for Python 3.10
            "myst-parser>=4.0",
            "furo>=2024.8.6",  # the first for Sphinx 8
        ],
        "test": [
            FAISS,
            RAY,  # 79 MB beside TensorFlow's 600: else nobody would see a broken engine
            "mypy",
            "pytest",
            "pytest-xdist",  # pytest -n 2: the tests on two cores
            "ruff>=0.9",  # the first with the 2025 style of `ruff format`
        ],
    },
)
