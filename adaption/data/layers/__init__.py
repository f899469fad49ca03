"""Data layers of prototxt files; found by scanning, like adaption/layers."""
