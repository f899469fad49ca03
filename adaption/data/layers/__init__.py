"""Layers that bring data of their own; found by scanning, see adaption.layers.base."""
