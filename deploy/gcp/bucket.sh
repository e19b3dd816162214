#!/usr/bin/env bash
# Makes the bucket that a registry keeps everything in. Run again, it changes what differs.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

usage() {
    cat << 'USAGE'
usage: deploy/gcp/bucket.sh --project ID --location PLACE [--bucket NAME] [--dry-run]

  --project ID      the project, which must exist             [PROJECT]
  --location PLACE  a region (europe-west4), a dual-region (EUR4) or a multi-region (EU); it cannot
                    be changed later                          [LOCATION]
  --bucket NAME     the bucket                                [BUCKET, else PROJECT-voiceflow]
  --dry-run         print the commands, as for an empty project, and run none

What is given by no option is taken from the variable in brackets. Needs gcloud, and of the caller
roles/storage.admin in the project.
USAGE
}

known="project location bucket"
project="${PROJECT:-}"
location="${LOCATION:-}"
bucket="${BUCKET:-}"
while options "$@"; do shift "$taken"; done
bucket="${bucket:-$project-voiceflow}"
check_project "$project"
check --location "$location" '[A-Za-z]+[A-Za-z0-9-]*' 'a location such as europe-west4, EUR4 or EU'
check_bucket --bucket "$bucket"

url="gs://$bucket"
# Conditions of IAM need uniform access. What was removed by mistake can be restored for a week.
settings=(
    --uniform-bucket-level-access
    --public-access-prevention
    --soft-delete-duration=7d
)
if there gcloud storage buckets describe "$url" --project="$project"; then
    standing="$(gcloud storage buckets describe "$url" --project="$project" --format='value(location)')"
    [[ ${standing^^} == "${location^^}" ]] ||
        fail "$url is in $standing, and stays there; --location says $location"
    change gcloud storage buckets update "$url" --project="$project" "${settings[@]}"
else
    change gcloud storage buckets create "$url" --project="$project" --location="$location" "${settings[@]}"
fi

# Google grants objects of a new bucket to whoever may edit or view the project, which often is the
# account that nodes run as. Owners stay.
for who in projectEditor projectViewer; do
    if "$dry_run"; then
        roles="roles/storage.legacyBucketOwner roles/storage.legacyObjectOwner"
        [[ $who == projectEditor ]] ||
            roles="roles/storage.legacyBucketReader roles/storage.legacyObjectReader"
    else
        roles="$(gcloud storage buckets get-iam-policy "$url" --flatten='bindings[].members' \
            --filter="bindings.members=$who:$project" --format='value(bindings.role)')"
    fi
    for role in $roles; do
        change gcloud storage buckets remove-iam-policy-binding "$url" \
            --member="$who:$project" --role="$role" --condition=None
    done
done
