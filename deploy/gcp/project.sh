#!/usr/bin/env bash
# Makes an empty project ready: the services of the cloud that are used, a repository for images, and the
# account that nodes of the cluster run as. Run again, it adds what is missing.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

usage() {
    cat << 'USAGE'
usage: deploy/gcp/project.sh --project ID [--images-location PLACE] [--images NAME] [--dry-run]

  --project ID             the project, which must exist, with billing      [PROJECT]
  --images-location PLACE  of the repository of images: a region (europe-west4) or a multi-region
                           (europe); it cannot be changed later             [IMAGES_LOCATION, else europe]
  --images NAME            the repository                                   [IMAGES, else voiceflow]
  --dry-run                print the commands, as for an empty project, and run none

What is given by no option is taken from the variable in brackets. Images are then those of
PLACE-docker.pkg.dev/ID/NAME, where a tag, once pushed, stays what it is. Nodes run as voiceflow-nodes,
which may read them, write logs and metrics, and read metrics, as the evaluation of alerts does. Needs
gcloud, and of the caller roles/serviceusage.serviceUsageAdmin, roles/artifactregistry.admin,
roles/iam.serviceAccountAdmin and roles/resourcemanager.projectIamAdmin in the project.
USAGE
}

known="project images-location images"
project="${PROJECT:-}"
images_location="${IMAGES_LOCATION:-europe}"
images="${IMAGES:-voiceflow}"
while options "$@"; do shift "$taken"; done
check_project "$project"
check_images "$images_location" "$images"

services=(
    artifactregistry.googleapis.com
    certificatemanager.googleapis.com
    cloudresourcemanager.googleapis.com
    cloudtrace.googleapis.com
    compute.googleapis.com
    container.googleapis.com
    iam.googleapis.com
    iamcredentials.googleapis.com
    monitoring.googleapis.com
    storage.googleapis.com
    sts.googleapis.com
)
change gcloud services enable "${services[@]}" --project="$project"

there gcloud artifacts repositories describe "$images" --location="$images_location" --project="$project" ||
    change gcloud artifacts repositories create "$images" --location="$images_location" \
        --project="$project" --repository-format=docker --immutable-tags

make_account voiceflow-nodes
grant_images voiceflow-nodes roles/artifactregistry.reader
grant_in_project voiceflow-nodes roles/container.defaultNodeServiceAccount roles/monitoring.viewer
