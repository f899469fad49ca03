"""Hold a net against what should compute the same: files, other arithmetic, recorded blobs.

What runs onnxruntime, OpenCV or a C compiler imports it when called.
"""

from adaption.compare.between import BetweenReport, counterpart, verify_between
from adaption.compare.step_check import StepReport, verify_step
from adaption.compare.verify import VerifyReport, verify
from adaption.compare.verify_images import ImageCheck, verify_images

__all__ = [
    "BetweenReport",
    "ImageCheck",
    "StepReport",
    "VerifyReport",
    "counterpart",
    "verify",
    "verify_between",
    "verify_images",
    "verify_step",
]
