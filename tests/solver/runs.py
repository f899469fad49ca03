"""Small solvers on data of their own, for tests."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np

NET = """
name: "tiny"
layer {{
  name: "rows" type: "HDF5Data" top: "data" top: "label"
  include {{ phase: TRAIN }}
  hdf5_data_param {{ source: "rows.txt" batch_size: 6 shuffle: true }}
}}
layer {{
  name: "rows" type: "HDF5Data" top: "data" top: "label"
  include {{ phase: TEST }}
  hdf5_data_param {{ source: "rows.txt" batch_size: 10 }}
}}
layer {{
  name: "conv" type: "{lp}Convolution" bottom: "data" top: "conv"
  param {{ lr_mult: 1 }} param {{ lr_mult: 2 decay_mult: 0 }}
  convolution_param {{ num_output: 4 kernel_size: 3 weight_filler {{ type: "xavier" }} }}
  {weight}
}}
layer {{ name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }}
layer {{ name: "act" type: "{act}" bottom: "bn" top: "act" {activation} }}
layer {{ name: "relu" type: "ReLU" bottom: "act" top: "act" }}
layer {{
  name: "drop" type: "Dropout" bottom: "act" top: "act" dropout_param {{ dropout_ratio: 0.3 }}
}}
layer {{
  name: "ip" type: "{lp}InnerProduct" bottom: "act" top: "ip"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }}
  {weight}
}}
layer {{ name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }}
layer {{
  name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include {{ phase: TEST }}
}}
"""

SOLVER = """
net: "net.prototxt"
base_lr: 0.05 lr_policy: "step" gamma: 0.5 stepsize: 7 momentum: 0.9 weight_decay: 0.001
max_iter: 20 display: 4 average_loss: 3
test_iter: 2 test_interval: 10
snapshot: 5 snapshot_prefix: "run" random_seed: 3
"""


def write_rows(folder: Path, count: int = 25) -> None:
    """25 images of 1 x 6 x 6 in three classes that a net can tell apart."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, count)
    data = rng.normal(size=(count, 1, 6, 6)) + label[:, None, None, None]
    with h5py.File(folder / "rows.h5", "w") as file:
        file["data"] = data.astype(np.float32)
        file["label"] = label.astype(np.float32)
    (folder / "rows.txt").write_text("rows.h5\n")


def write_run(folder: Path, *, rounding: str = "", solver: str = "") -> Path:
    """A run in `folder`: data, net, solver; returns the solver's path.

    Args:
        rounding: "" for a float net, DETERMINISTIC or STOCHASTIC for one of low precision.
        solver: fields set in the solver, or set otherwise.
    """
    write_rows(folder)
    fmt = "lpfp_param {{ bd: {} ad: {} rounding_scheme: {} }}"
    (folder / "net.prototxt").write_text(
        NET.format(
            lp="LP" if rounding else "",
            weight=fmt.format(1, 7, rounding) if rounding else "",
            act="LPAct" if rounding else "Power",
            activation=fmt.format(4, 4, rounding) if rounding else "",
        )
    )
    path = folder / "solver.prototxt"
    lines = dict(re.findall(r"(\w+): (\S+)", SOLVER)) | dict(re.findall(r"(\w+): (\S+)", solver))
    path.write_text("".join(f"{name}: {value}\n" for name, value in lines.items()))
    return path
