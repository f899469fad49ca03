#!/usr/bin/env bash
# Checks and tests, from a bare machine with Python 3.11 and pip. Arguments go to pytest, which
# runs in the checkout:
#   scripts/test.sh                      everything but the slow tests
#   scripts/test.sh tests/io -k wire     some of it
#   scripts/test.sh --quick              what takes little: formats, files, graphs, rules, the shell
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Left out are the rooms that run nets: layers, net, data, solver, export, job, pycaffe, scripts.
quick=(tests/options tests/numerics tests/proto tests/io tests/graph tests/recipes tests/cli
    tests/report tests/test_architecture.py tests/test_errors.py tests/test_glog.py
    tests/test_layer_types.py tests/test_package.py)
if [ "${1:-}" = --quick ]; then
    shift
    set -- "${quick[@]}" "$@"
fi

use_venv
install_adaption test
cd "$root"

# A wrong style must not hide a failing test: both are run, and pytest's last line is the last.
status=0
scripts/check || status=$?
[ "$status" -eq 0 ] || printf '\nscripts/check failed (see above); running the tests all the same\n\n'
run_pytest "$@" || status=$?
exit "$status"
