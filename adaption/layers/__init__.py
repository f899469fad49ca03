"""Layer types: one file per Caffe layer type, found by scanning this folder.

A file holds a type's parameters, shapes, forward pass and ONNX lowering; see `base` for the
contract and CONTRIBUTING.md for an example.
"""
