#!/usr/bin/env bash
# Runs the providers of this checkout, and a load of live streams, on a machine with an NVIDIA T4, fetches
# what they say, and removes the machine, whatever happens.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

usage() {
    cat << 'USAGE'
usage: deploy/gcp/benchmark-t4.sh --project ID --zone ZONE [--name NAME] [--machine TYPE]
                                  [--image FAMILY] [--image-project ID] [--hours N] [--out FOLDER]
                                  [--dry-run] [-- OPTIONS OF voiceflow bench streams]

  --project ID        the project, which must exist                 [PROJECT]
  --zone ZONE         one that has T4s: europe-west4-a              [ZONE]
  --name NAME         of the machine, which must not exist yet      [voiceflow-benchmark-t4]
  --machine TYPE      of the series N1, which takes T4s             [n1-standard-8]
  --image FAMILY      of images with Python 3.11 and apt; the GPU   [debian-12]
                      computes where NVIDIA's driver, CUDA 13 and cuDNN 9 are on it
  --image-project ID  whose images                                  [debian-cloud]
  --hours N           1 to 12; Google removes the machine then      [2]
  --out FOLDER        for providers.json, streams.json, machine.txt  [benchmarks/results/t4]
  --dry-run           print the commands, and run none

The model is run on each provider that is there, by benchmarks.providers. What follows `--` goes to
`voiceflow bench streams`, such as --streams 150 --seconds 60. What is committed is measured: the
checkout must have no changes. Needs gcloud, git, and of the caller roles/compute.instanceAdmin.v1.
The machine acts as nobody in the project.
USAGE
}

known="project zone name machine image image-project hours out"
project="${PROJECT:-}"
zone="${ZONE:-}"
name=voiceflow-benchmark-t4
machine=n1-standard-8
image=debian-12
image_project=debian-cloud
hours=2
out=benchmarks/results/t4
while options "$@"; do shift "$taken"; done
[[ $# -eq 0 ]] || shift
check_project "$project"
check --zone "$zone" '[a-z]+-[a-z]+[0-9]+-[a-z]' 'a zone such as europe-west4-a'
check --name "$name" '[a-z]([a-z0-9-]{0,61}[a-z0-9])?' 'at most 63 of a-z 0-9 -, from a letter on'
check --machine "$machine" 'n1-[a-z0-9-]+' 'a type of the series N1, such as n1-standard-8'
check --image "$image" '[a-z][a-z0-9-]*' 'a family of images'
check --image-project "$image_project" '[a-z][a-z0-9-]+' 'the id of a project'
check --hours "$hours" '[1-9]|1[0-2]' '1 to 12'

at=(--project="$project" --zone="$zone" --quiet)
cd "$(dirname "$0")/../.."
[[ -z "$(git status --porcelain)" ]] || "$dry_run" ||
    fail "the checkout has changes; what is measured is what is committed"
if there gcloud compute instances describe "$name" --project="$project" --zone="$zone"; then
    fail "$name is there already, in $zone; name another, or remove it"
fi

remove() { change gcloud compute instances delete "$name" "${at[@]}"; }
on_it() { change gcloud compute ssh "$name" "${at[@]}" --command="$1"; }
fetch() { change gcloud compute scp "${at[@]}" "$name:$1" "$out/$1"; }

trap remove EXIT
change gcloud compute instances create "$name" "${at[@]}" --machine-type="$machine" \
    --accelerator=type=nvidia-tesla-t4,count=1 --maintenance-policy=TERMINATE \
    --image-family="$image" --image-project="$image_project" --boot-disk-size=50GB \
    --no-service-account --no-scopes \
    --max-run-duration="${hours}h" --instance-termination-action=DELETE
# Until it takes connections: about a minute.
for ((tries = 1; ; tries++)); do
    on_it true && break
    [[ $tries -lt 20 ]] || fail "$name takes no connections"
    sleep "${BENCHMARK_PAUSE_SECONDS:-10}"
done

commit="$(git rev-parse HEAD)"
bundle="$(mktemp --suffix=.bundle)"
trap 'rm -f "$bundle"; remove' EXIT
git bundle create --quiet "$bundle" HEAD
change gcloud compute scp "${at[@]}" "$bundle" "$name:voiceflow.bundle"
on_it "sudo apt-get update -q && sudo apt-get install -qy git make python3-venv"
on_it "git clone -q voiceflow.bundle voiceflow && cd voiceflow && git checkout -q $commit && make install PYTHON=python3 CXX=none"
# The CPU's build of ONNX Runtime gives way to that for CUDA where a driver is there to use it.
on_it "cd voiceflow && if nvidia-smi; then .venv/bin/python -m pip uninstall -qy onnxruntime && .venv/bin/python -m pip install -q --require-hashes -r requirements/inference-cuda.lock; fi"
on_it "{ lscpu; free -h; lspci | grep -i nvidia; nvidia-smi || echo 'no driver: the GPU is idle'; } > machine.txt"
on_it "cd voiceflow && .venv/bin/python -m benchmarks.providers --json ../providers.json"
change mkdir -p "$out"
fetch providers.json
fetch machine.txt
on_it "cd voiceflow && VOICEFLOW_PROVIDER=\$(nvidia-smi > /dev/null 2>&1 && echo cuda || echo cpu) .venv/bin/voiceflow bench streams --json$([[ $# -eq 0 ]] || printf ' %q' "$@") > ../streams.json"
fetch streams.json
