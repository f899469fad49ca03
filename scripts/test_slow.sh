#!/usr/bin/env bash
# The tests marked slow. Arguments go to pytest.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

use_venv
install_adaption test
cd "$root"
exec python -m pytest -m "slow and not gpu and not network" "$@"
