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
cloud: voiceflow-registry, voiceflow-collection, voiceflow-telemetry. Needs gcloud, and of the caller
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
check_bucket "$bucket"
check --prefix "$prefix" '[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*' 'parts of A-Z a-z 0-9 . _ -, with slashes between'
check --namespace "$namespace" '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?' 'at most 63 of a-z 0-9 -'
check --pool "$pool" '[a-z][a-z0-9-]+\.svc\.id\.goog' 'PROJECT.svc.id.goog'

accounts=(voiceflow-registry voiceflow-collection voiceflow-telemetry)
url="gs://$bucket"
# IAM takes twelve operators in a condition.
kinds_a_condition=7

email() { printf '%s@%s.iam.gserviceaccount.com' "$1" "$project"; }
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

# What an account is granted by a policy: lines of a role, a tab, a condition.
granted() {
    "$@" --flatten='bindings[].members' --format='value(bindings.role,bindings.condition.expression)' \
        --filter="bindings.members=serviceAccount:$(email "$account")"
}

# no_more WHERE WANTED STANDING: fails if an account is granted what nobody has asked for.
no_more() {
    local more
    more="$(grep --invert-match --fixed-strings --line-regexp -- "$2" <<< "$3" || true)"
    [[ -z ${more//[[:space:]]/} ]] || fail "$account may do more in $1 than it needs to; take away:
$more"
}

has() { grep --quiet --fixed-strings --line-regexp -- "$1"$'\t'"$2" <<< "$3"; }

for account in "${accounts[@]}"; do
    there gcloud iam service-accounts describe "$(email "$account")" --project="$project" ||
        change gcloud iam service-accounts create "$account" --project="$project" \
            --display-name="$account"
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
    standing="$(look granted gcloud storage buckets get-iam-policy "$url" || "$dry_run")"
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
    no_more "$url" "$wanted" "$standing"
done

for account in "${accounts[@]}"; do
    change gcloud iam service-accounts add-iam-policy-binding "$(email "$account")" \
        --project="$project" --role=roles/iam.workloadIdentityUser \
        --member="serviceAccount:${pool}[$namespace/$account]" --condition=None
done

for account in "${accounts[@]}"; do
    standing="$(look granted gcloud projects get-iam-policy "$project" || "$dry_run")"
    wanted=""
    if [[ $account == voiceflow-telemetry ]]; then
        wanted="roles/cloudtrace.agent"$'\t'
        has roles/cloudtrace.agent "" "$standing" ||
            change gcloud projects add-iam-policy-binding "$project" --condition=None \
                --member="serviceAccount:$(email "$account")" --role=roles/cloudtrace.agent
    fi
    no_more "the project $project" "$wanted" "$standing"
done
