"""Data layers for nets made from descriptors: LMDBs of ImageNet, as the original's templates say.

Source: specs of the original's header files: batch sizes, 1/255, crop 224, mean file.
"""

from __future__ import annotations

__all__ = ["header_name", "header_text"]

SCALE = "0.00392156862"  # 1/255, to the digits of the original
SOURCES = {"TRAIN": "data/ilsvrc12_train_lmdb", "TEST": "data/ilsvrc12_val_lmdb"}
MEAN = "data/imagenet_mean.binaryproto"


def header_name(mode: str, scale: bool) -> str:
    """The original's name of the header file: header, header_deploy, header_vis_noscale, ..."""
    kind = "" if mode == "train" else f"_{mode}"
    return f"header{kind}{'' if scale else '_noscale'}.prototxt"


def header_text(mode: str, scale: bool) -> str:
    """Data layers with tops data and label: TRAIN and TEST for training, else TEST."""
    test = _data_layer("TEST", scale, 12 if mode == "train" and not scale else 4)
    return (_data_layer("TRAIN", scale, 12) + test) if mode == "train" else test


def _data_layer(phase: str, scale: bool, batch_size: int) -> str:
    factor = f"    scale: {SCALE}\n" if scale else ""
    return f"""layer {{
  name: "data"
  type: "Data"
  top: "data"
  top: "label"
  include {{
    phase: {phase}
  }}
  transform_param {{
{factor}    mirror: {str(phase == "TRAIN").lower()}
    crop_size: 224
    mean_file: "{MEAN}"
  }}
  data_param {{
    source: "{SOURCES[phase]}"
    batch_size: {batch_size}
    backend: LMDB
  }}
}}
"""
