#!/usr/bin/env bash
# The main job on real photographs: enrol three people, identify one of them elsewhere, refuse strangers.
set -euo pipefail
uv=${UV:-uv}
here=$(cd "$(dirname "$0")" && pwd)
work=demo-data
packages=$work/packages
enrol=$work/photographs/enrol
probes=$work/photographs/probes
annotated=$work/annotated
export FACEGRID_DATA=$work/state FACEGRID_MODELS=$work/models COLUMNS=${COLUMNS:-110}

say() { if [ -t 1 ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi; }
run() { printf '$ facegrid %s\n' "$*"; "$uv" run --frozen --no-sync facegrid "$@"; }

fetch() {
  "$uv" tool run --quiet pip@26.3 download --quiet --disable-pip-version-check --no-deps \
    --no-binary face_recognition --require-hashes -r "$here/photographs.txt" -d "$packages"
}

unpack() {
  local images=$packages/face_recognition-1.3.0/tests/test_images
  tar -xzf "$packages/face_recognition-1.3.0.tar.gz" -C "$packages" --wildcards '*/tests/test_images/*'
  python3 -m zipfile -e "$packages"/insightface-2.1-*.whl "$packages/insightface"
  mkdir -p "$enrol"/{barack_obama,joe_biden,tom_hanks} "$probes"
  cp "$images"/obama2.jpg "$enrol/barack_obama"
  cp "$images"/biden.jpg "$enrol/joe_biden"
  cp "$packages"/insightface/insightface/data/images/Tom_Hanks_54745.png "$enrol/tom_hanks"
  cp "$images"/obama.jpg "$probes/portrait.jpg"
  cp "$images"/obama3.jpg "$probes/standing.jpg"
  cp "$packages"/insightface/insightface/data/images/t1.jpg "$probes/six_strangers.jpg"
}

say "Building the open model pack from installed packages"
run models build open

say "Fetching photographs of people from the package index"
[ -d "$probes" ] || { fetch && unpack; }
rm -rf "$FACEGRID_DATA" "$annotated"

say "Enrolling three people, a photograph each"
run gallery create demo
run enroll --gallery demo "$enrol"

say "Identifying other photographs: one of these people, twice, and six strangers"
run identify --gallery demo --draw "$annotated" "$probes"/*.jpg

say "The same person? The portrait against another photograph of him, then against somebody else"
run verify "$probes/portrait.jpg" "$enrol/barack_obama/obama2.jpg"
run verify "$probes/portrait.jpg" "$enrol/joe_biden/biden.jpg"

say "Look at the annotated copies:"
printf '%s\n' "$annotated"/*
say "To go on: . .venv/bin/activate; export FACEGRID_DATA=$FACEGRID_DATA FACEGRID_MODELS=$FACEGRID_MODELS; facegrid --help"
