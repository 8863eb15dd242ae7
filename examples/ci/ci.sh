#!/bin/sh
# What CI runs for a change of this repository: ci.sh FOLDER-AS-IT-IS FOLDER-AS-IT-SHALL-BE
# `meridian` is taken from PATH. The first command that fails ends it with its exit code.
set -eu
old=$1 new=$2

echo "== check"
meridian check --config "$new/meridian.yaml"

echo "== diff: no more than 5 % of the clients of a name may move at once"
meridian diff "$old/meridian.yaml" "$new/meridian.yaml" --clients "$new/clients.csv" --max-move 5%

echo "== simulate: any region may be lost"
meridian simulate --config "$new/meridian.yaml" --clients "$new/clients.csv" --every-single \
    --load us-east=0.4 --load eu-west=0.3 --load eu-central=0.5
