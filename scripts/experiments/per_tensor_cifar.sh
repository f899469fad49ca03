#!/usr/bin/env bash
# Per-tensor fixed point in small on CIFAR-10; per_tensor.py beside this says what. Stopped, it goes on
# where it was when called again.
#   scripts/experiments/per_tensor_cifar.sh DATA OUT [--seeds 11] [--epochs N] [--runs C_o,C_o-2] [--threads N]
# Uses the active virtual environment, else .venv (scripts/test.sh makes it).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../lib.sh"

[ $# -ge 2 ] || fail "usage: $0 DATA OUT [--seeds 11] [--epochs N]" "  see the head of this file"
python=python3
[ ! -x "$root/.venv/bin/python" ] || python=$root/.venv/bin/python
[ -z "${VIRTUAL_ENV:-}" ] || python=$VIRTUAL_ENV/bin/python
exec "$python" "$here/per_tensor.py" cifar "$@"
