#!/bin/sh
# Takes the pictures of docs/desk.md: a desk on an ordinary day, in light and dark.
# It wants Chromium. Look at each of them afterwards.
#
#   scripts/pictures.sh          all of them, into docs/pictures
#   scripts/pictures.sh today    one page
set -eu
cd "$(dirname "$0")/.."
mkdir -p docs/pictures
export POSTRIDER_PICTURES="$PWD/docs/pictures" POSTRIDER_PICTURE="${1:-}" POSTRIDER_PICTURES_AS="${POSTRIDER_PICTURES_AS:-webp}"
go test ./internal/api/web -run '^TestPictures$' -count=1 -timeout 10m
du -ch docs/pictures/* | tail -1
