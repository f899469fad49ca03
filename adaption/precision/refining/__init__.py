"""Rounding that compensates: weights, biases and formats fitted on calibration data.

`walk` goes through two nets side by side, the float one and the one rounded so far; the rest is
numerics that knows no nets. Source: Frantar et al., "GPTQ", 2022 (arXiv 2210.17323).
"""
