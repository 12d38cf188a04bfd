#!/bin/bash
# stoatchat gifbox service
cd "$(dirname "$0")/.." || exit 1
while :; do
  echo "$(date -Is) gifbox: tick" >>data/gifbox.log
  sleep 2
done
