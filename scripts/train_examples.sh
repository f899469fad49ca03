#!/usr/bin/env bash
# Trains a net of models/ from scratch; stopped, it goes on from its last snapshot when called again.
#   scripts/train_examples.sh lenet DATA OUT           DATA: folder with MNIST's four idx files
#   scripts/train_examples.sh cifar10_quick DATA OUT   DATA: folder with cifar10_{train,test}*.npz
# OUT gets the LMDBs, a copy of the net's folder with the snapshots, log.txt and log.jsonl.
# Uses the active virtual environment, else .venv (scripts/test.sh makes it).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -eq 3 ] || fail "usage: $0 lenet|cifar10_quick DATA OUT" "  see the head of this file"
net=$1 data=$(realpath "$2") out=$3
python=python3
[ ! -x "$root/.venv/bin/python" ] || python=$root/.venv/bin/python
[ -z "${VIRTUAL_ENV:-}" ] || python=$VIRTUAL_ENV/bin/python

mkdir -p "$out/data" "$out/models/$net"
cp "$root/models/$net"/*.prototxt "$out/models/$net"
cd "$out"
lmdb() { # source folder flags
    [ -d "$2" ] || "$python" "$root/scripts/make_lmdb.py" "$@"
}
case $net in
lenet)
    lmdb "$(echo "$data"/train-images-idx3-ubyte*)" data/mnist_train_lmdb
    lmdb "$(echo "$data"/t10k-images-idx3-ubyte*)" data/mnist_test_lmdb
    ;;
cifar10_quick)
    lmdb "$(echo "$data"/cifar10_train*.npz)" data/cifar10_train_lmdb --channel-order RGB \
        --mean data/cifar10_mean.binaryproto
    lmdb "$(echo "$data"/cifar10_test*.npz)" data/cifar10_test_lmdb --channel-order RGB
    ;;
*) fail "$net is not lenet or cifar10_quick" ;;
esac
last=$(ls -t "models/$net"/*.solverstate 2>/dev/null | head -n 1 || true)
"$python" -m adaption train --solver="models/$net/solver.prototxt" ${last:+--snapshot="$last"} \
    --seed 1 --log-json=log.jsonl 2>&1 | tee -a log.txt
