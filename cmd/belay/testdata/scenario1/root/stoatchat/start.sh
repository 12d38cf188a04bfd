#!/bin/bash
# Starts Stoat Chat's five services, each in a window of one tmux session.
cd "$(dirname "$0")" || exit 1
session=openhands-None-e7c3d76b-168c-4e2e-927c-338ad97cbdbe
tmux new-session -d -s "$session" -n events "bash $PWD/scripts/events.sh" || exit 1
for name in files proxy gifbox pushd; do
  tmux new-window -d -t "$session" -n "$name" "bash $PWD/scripts/$name.sh" || exit 1
done
for _ in $(seq 100); do
  curl -fs http://127.0.0.1:8088/ >/dev/null && exit 0
  sleep 0.1
done
echo "Stoat Chat does not answer on port 8088" >&2
exit 1
