#!/bin/bash
# stoatchat events service
cd "$(dirname "$0")/.." || exit 1
while :; do
  echo "$(date -Is) events: tick" >>data/events.log
  sleep 2
done
