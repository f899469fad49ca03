"""Compare a net with what should compute the same: files, other arithmetic, recorded blobs.

What runs onnxruntime, OpenCV or a C compiler imports it when called.
"""

from adaption.compare.between import BetweenReport, counterpart
from adaption.compare.image_check import ImageCheck
from adaption.compare.old_names import verify_between, verify_images, verify_step
from adaption.compare.result import VerifyReport
from adaption.compare.step_check import StepReport
from adaption.compare.verify import verify

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
