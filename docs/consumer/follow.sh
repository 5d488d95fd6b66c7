#!/bin/sh
# follow.sh NAME SOCKET: takes up board.json of every owner that declares consumer NAME, and says whether it can.
name=$1 socket=$2

ask() { curl --silent --no-buffer --unix-socket "$socket" "$@"; }

look() {
  declared='.owners[] | select(.consumers[$name]) | "\(.id) \(.generation.number) \(.state) \(.path)"'
  ask http://agent/v1/tree | jq -r --arg name "$name" "$declared" | while read -r owner number state path; do
    outcome='"outcome":"ready"'
    jq -er .text "$path/board.json" || outcome='"outcome":"failed","reason":"board-unreadable"' # your service's work
    [ "$state" = probation ] && ask -o /dev/null "http://agent/v1/consumers/$name/reports" \
      -H 'Content-Type: application/json' -d "{\"owner\":\"$owner\",\"generation\":$number,$outcome}"
  done
}

while :; do
  # "retry:" comes first: from here on nothing is missed.
  ask http://agent/v1/events | while read -r field event; do
    case "$field $event" in retry:* | "event: generation" | "event: reset") look ;; esac
  done
  sleep 1
done
