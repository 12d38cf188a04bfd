#!/bin/bash
# stoatchat pushd service
cd "$(dirname "$0")/.." || exit 1
while :; do
  echo "$(date -Is) pushd: tick" >>data/pushd.log
  sleep 2
done
