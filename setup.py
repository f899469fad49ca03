"""Package of `adaption`. Ranges here are wide; constraints.txt pins what the tests run with."""

import runpy
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
# Core requirements today; extras too because error messages name them where one is missing.
HDF5, LMDB = "h5py>=3.10", "lmdb>=1.4"
# Where a wheel brings the LevelDB library; elsewhere the extra `leveldb` builds it.
PLYVEL = (
    'plyvel>=1.5; sys_platform == "linux" and platform_machine == "x86_64"'
    ' and python_version < "3.13"'
)
EXTRAS = {
    "hdf5": [HDF5],
    "leveldb": ["plyvel>=1.5"],
    "lmdb": [LMDB],
}

setup(
    name="adaption",
    version=runpy.run_path(str(ROOT / "adaption" / "_version.py"))["__version__"],
    description="Fixed-point versions of Caffe nets, without Caffe",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="adaption developers",
    license="BSD-2-Clause",
    license_files=["LICENSE"],
    keywords=["caffe", "fixed-point", "quantization", "prototxt", "caffemodel", "onnx"],
    python_requires=">=3.11",
    packages=find_packages(include=["adaption", "adaption.*"]),
    package_data={
        "adaption": ["py.typed"],
        "adaption.export.package": ["runtime/*"],
        "adaption.proto": ["*.pyi"],
        "adaption.report": ["*.j2", "templates/*.j2"],
    },
    install_requires=[
        HDF5,
        "jinja2>=3.1",
        LMDB,
        "numpy>=1.26",
        "onnx>=1.16",
        "onnxruntime>=1.18",
        "pillow>=10.1",
        "protobuf>=4.25",
        "rich>=13",
        "torch>=2.2",
        PLYVEL,
    ],
    extras_require={
        **EXTRAS,
        "all": sorted({requirement for extra in EXTRAS.values() for requirement in extra}),
        "test": [
            "grpcio-tools>=1.62",
            "hypothesis>=6.100",
            "mypy>=1.11",
            "pytest>=8.2",
            "ruff>=0.6",
            "scipy>=1.11.1",
        ],
    },
    entry_points={"console_scripts": ["adaption=adaption.cli.main:main"]},
)
