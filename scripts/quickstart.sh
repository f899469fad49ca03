#!/usr/bin/env bash
# The main job on the embedded example: LeNet on handwritten digits in 8 bits.
# The results lie in quickstart_out/ of the checkout; needs Python 3.11 and pip, nothing else.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

use_venv
install_adaption
cd "$root"

example=models/lenet_digits
exec adaption quantize "$example/deploy.prototxt" "$example/lenet_digits.caffemodel" \
    --data "$example/digits_test_lmdb" --scale 0.0625 --bits 8 -o quickstart_out
