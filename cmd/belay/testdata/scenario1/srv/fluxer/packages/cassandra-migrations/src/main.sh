#!/bin/sh
# The migration tool: applies what is not applied yet, in order.
set -e
url=${CASSANDRA_URL:-http://127.0.0.1:9042}/migrations
applied=$(curl -fsS "$url")
n=1
while [ "$n" -le 60 ]; do
  name=$(printf '%04d' "$n")
  case $applied in
    *"\"$name\""*) echo "Already applied: $n" ;;
    *)
      curl -fsS -X POST --data "$name" "$url" >/dev/null
      echo "Applied migration: $n"
      ;;
  esac
  n=$((n + 1))
done
