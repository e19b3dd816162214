#!/usr/bin/env bash
# Makes the accounts of the cloud that pods act as, and grants each what grants.txt says of the
# bucket and no more. Run again, it adds what is missing, and fails if an account has anything else.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

usage() {
    cat << 'USAGE'
usage: deploy/gcp/identities.sh --project ID [--bucket NAME] [--prefix PREFIX] [--namespace NAME]
                                [--pool POOL] [--dry-run]

  --project ID      the project, which must exist                       [PROJECT]
  --bucket NAME     the bucket, as bucket.sh has made it                [BUCKET, else PROJECT-voiceflow]
  --prefix PREFIX   of the store in the bucket: gs://NAME/PREFIX        [PREFIX, else registry]
  --namespace NAME  of the cluster's accounts                           [NAMESPACE, else voiceflow]
  --pool POOL       Workload Identity's, of the cluster                 [POOL, else PROJECT.svc.id.goog]
  --dry-run         print the commands, as for an empty project, and run none

What is given by no option is taken from the variable in brackets. Accounts of the cluster and of the
cloud: voiceflow-registry, voiceflow-collection, voiceflow-telemetry, and, in the cluster's namespace
monitoring, voiceflow-metrics. The pool is there once a cluster has it. Needs gcloud, and of the caller
roles/iam.serviceAccountAdmin, roles/iam.roleAdmin, roles/storage.admin and
roles/resourcemanager.projectIamAdmin in the project.
USAGE
}

known="project bucket prefix namespace pool"
project="${PROJECT:-}"
bucket="${BUCKET:-}"
prefix="${PREFIX:-registry}"
namespace="${NAMESPACE:-voiceflow}"
pool="${POOL:-}"
while options "$@"; do shift "$taken"; done
bucket="${bucket:-$project-voiceflow}"
pool="${pool:-$project.svc.id.goog}"
check_project "$project"
check_bucket --bucket "$bucket"
check_folder --prefix "$prefix"
check --namespace "$namespace" '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?' 'at most 63 of a-z 0-9 -'
check --pool "$pool" '[a-z][a-z0-9-]+\.svc\.id\.goog' 'PROJECT.svc.id.goog'

accounts=(voiceflow-registry voiceflow-collection voiceflow-telemetry voiceflow-metrics)
url="gs://$bucket"
# IAM takes twelve operators in a condition.
kinds_a_condition=7

role() { printf 'projects/%s/roles/voiceflowObjects.%s' "$project" "$1"; }

# The condition on objects of some kinds; empty for `list`, which is asked of the bucket and not of
# objects: without it Google answers 403, and not 404, about an object that is not there.
condition() {
    local operation="$1" kind place expression=""
    shift
    [[ $operation == list ]] && return
    for kind in "$@"; do
        place="projects/_/buckets/$bucket/objects/$prefix/"
        [[ $kind == all ]] || place+="$kind/"
        expression+="${expression:+ || }resource.name.startsWith('$place')"
    done
    printf '%s' "$expression"
}

for account in "${accounts[@]}"; do
    make_account "$account"
done

# Of one permission each. The predefined roles also let their holders make folders, and
# roles/storage.objectUser lets them delete and replace wherever they may write.
for operation in get list create delete; do
    name="voiceflowObjects.$operation"
    if there gcloud iam roles describe "$name" --project="$project"; then
        has="$(gcloud iam roles describe "$name" --project="$project" --format='value(includedPermissions)')"
        [[ $has == "storage.objects.$operation" ]] ||
            change gcloud iam roles update "$name" --project="$project" \
                --permissions="storage.objects.$operation" --quiet
    else
        change gcloud iam roles create "$name" --project="$project" --stage=GA \
            --title="VoiceFlow: $operation objects" --permissions="storage.objects.$operation"
    fi
done

for account in "${accounts[@]}"; do
    member="serviceAccount:$(email "$account")"
    standing="$(granted "$account" gcloud storage buckets get-iam-policy "$url")"
    wanted=""
    while read -r who operation listed; do
        [[ $who == "$account" ]] || continue
        read -ra kinds <<< "$listed"
        for ((first = 0; first < ${#kinds[@]}; first += kinds_a_condition)); do
            expression="$(condition "$operation" "${kinds[@]:first:kinds_a_condition}")"
            wanted+="$(role "$operation")"$'\t'"$expression"$'\n'
            has "$(role "$operation")" "$expression" "$standing" && continue
            title="voiceflow-$operation-$((first / kinds_a_condition + 1))"
            under="${expression:+expression=$expression,title=$title}"
            change gcloud storage buckets add-iam-policy-binding "$url" --member="$member" \
                --role="$(role "$operation")" --condition="${under:-None}"
        done
    done < <(grep -v '^#' "$(dirname "$0")/grants.txt")
    no_more "$account" "$url" "$wanted" "$standing"
done

for account in "${accounts[@]}"; do
    within="$namespace"
    [[ $account != voiceflow-metrics ]] || within=monitoring
    change gcloud iam service-accounts add-iam-policy-binding "$(email "$account")" \
        --project="$project" --role=roles/iam.workloadIdentityUser \
        --member="serviceAccount:${pool}[$within/$account]" --condition=None
done

grant_in_project voiceflow-registry
grant_in_project voiceflow-collection
grant_in_project voiceflow-telemetry roles/cloudtrace.agent
grant_in_project voiceflow-metrics roles/monitoring.viewer
