#!/usr/bin/env bash
# WRPN on CIFAR, a table of bits and widths; wrpn.py beside this says what. Stopped, it goes on where
# it was when called again.
#   scripts/experiments/wrpn_cifar.sh DATA OUT [--seeds 1,2,3] [--threads N] [--cells ..] [--samples N]
#   [--epochs N]
# Uses the active virtual environment, else .venv (scripts/test.sh makes it).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../lib.sh"

[ $# -ge 2 ] || fail "usage: $0 DATA OUT [--seeds 1,2,3]" "  see the head of this file"
python=python3
[ ! -x "$root/.venv/bin/python" ] || python=$root/.venv/bin/python
[ -z "${VIRTUAL_ENV:-}" ] || python=$VIRTUAL_ENV/bin/python
exec "$python" "$here/wrpn.py" cifar "$@"
