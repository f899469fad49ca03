#!/usr/bin/env bash
# AdaPT in small, AlexNet on 5,000 images of CIFAR-10; adapt.py beside this says what. Stopped, it
# goes on where it was when called again.
#   scripts/experiments/adapt_cifar.sh DATA OUT [--seeds 1,2,3] [--threads N]
# Uses the active virtual environment, else .venv (scripts/test.sh makes it).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../lib.sh"

[ $# -ge 2 ] || fail "usage: $0 DATA OUT [--seeds 1,2,3]" "  see the head of this file"
python=python3
[ ! -x "$root/.venv/bin/python" ] || python=$root/.venv/bin/python
[ -z "${VIRTUAL_ENV:-}" ] || python=$VIRTUAL_ENV/bin/python
exec "$python" "$here/adapt.py" cifar "$@"
