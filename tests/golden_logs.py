"""The recorded standard error of the original's `caffe` tool, and ours, made comparable."""

from __future__ import annotations

import re

# Ours is the older form without the year, which Caffe's own scripts read; the recording's glog
# writes the year.
PREFIX = re.compile(r"[IWE](?:\d{4}|\d{8}) \d\d:\d\d:\d\d\.\d{6} +\d+ [\w.]+:\d+\] ")

# Written by the original's reading threads when they happen to be early or late.
CHATTER = ("Waiting for data", "Data layer prefetch queue empty")

MEASURED = re.compile(
    r"(?<== )[-\d.e]+(?= \(\*| loss\)$|$)"  # accuracy = #, loss = # (* 1 = # loss)
    r"|(?<=oss: )[-\d.e]+$"  # Loss: #, Initial loss: #
    r"|(?<=: )[-\d.e]+(?= ms\.$)"  # Total Time: # ms.
)


def messages(text: str) -> list[str]:
    """The lines without prefix and chatter; a prototxt that is logged keeps its lines."""
    lines = [PREFIX.sub("", line, count=1) for line in text.splitlines()]
    return [line for line in lines if line not in CHATTER]


def masked(text: str) -> list[str]:
    """`messages` with # for losses, scores and times."""
    return [MEASURED.sub("#", line) for line in messages(text)]
