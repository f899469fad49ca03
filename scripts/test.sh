#!/usr/bin/env bash
# Checks and tests, from a bare machine with Python 3.11 and pip. Arguments go to pytest, which
# runs in the checkout:
#   scripts/test.sh                      everything but the slow tests
#   scripts/test.sh tests/io -k wire     some of it
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

use_venv
install_adaption test
cd "$root"

# A wrong style must not hide a failing test: both are run, and pytest's last line is the last.
status=0
scripts/check || status=$?
[ "$status" -eq 0 ] || printf '\nscripts/check failed (see above); running the tests all the same\n\n'
python -m pytest "$@" || status=$?
exit "$status"
