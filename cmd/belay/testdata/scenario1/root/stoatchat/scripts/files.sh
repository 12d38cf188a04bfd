#!/bin/bash
# stoatchat files service
cd "$(dirname "$0")/.." || exit 1
while :; do
  echo "$(date -Is) files: tick" >>data/files.log
  sleep 2
done
