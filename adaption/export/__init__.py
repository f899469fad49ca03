"""Models for other runtimes and devices.

`onnx` writes ONNX models, `package` integers and C programs, `nullhop` the files of that
accelerator; `targets` says what `--to` can name. What compares them with the net is in
adaption.compare, exact arithmetic in adaption.exact.
"""

from __future__ import annotations

from adaption.moved import names_at

# Where names are that this package had in version 0.1.0.
MOVED = {
    **dict.fromkeys(("ExactNet", "ExactOptions"), "adaption.exact"),
    **dict.fromkeys(("ExportReport", "export_onnx"), "adaption.export.onnx"),
    **dict.fromkeys(
        (
            *("BetweenReport", "ImageCheck", "StepReport", "VerifyReport", "counterpart"),
            *("verify", "verify_between", "verify_images", "verify_step"),
        ),
        "adaption.compare",
    ),
}

__getattr__ = names_at(__name__, MOVED)
