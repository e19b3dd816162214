#!/usr/bin/env bash
# Lets the workflows of one repository at GitHub act in the project, without keys: a pool and a provider of
# Workload Identity Federation, and an account for each environment. Run again, it adds what is missing,
# and fails if an account has anything else.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

usage() {
    cat << 'USAGE'
usage: deploy/gcp/ci.sh --project ID --repository OWNER/NAME --repository-id NUMBER [--branch NAME]
                        [--data BUCKET] [--speech FOLDER] [--conversations FOLDER]
                        [--images-location PLACE] [--images NAME] [--ci-pool NAME] [--dry-run]

  --project ID             the project, as project.sh, bucket.sh and identities.sh have left it   [PROJECT]
  --repository OWNER/NAME  at GitHub, whose workflows are let in                    [GITHUB_REPOSITORY]
  --repository-id NUMBER   its number, which nobody else gets where the name changes hands:
                           gh api repos/OWNER/NAME --jq .id                         [GITHUB_REPOSITORY_ID]
  --branch NAME            which, beside tags such as v0.1.0, is let in             [BRANCH, else main]
  --data BUCKET            what is trained and evaluated with; not the registry's   [DATA, else PROJECT-voiceflow-data]
  --speech FOLDER          of it                                                    [SPEECH, else speech]
  --conversations FOLDER   likewise                                                 [CONVERSATIONS, else conversations]
  --images-location PLACE  as project.sh was told                                   [IMAGES_LOCATION, else europe]
  --images NAME            likewise                                                 [IMAGES, else voiceflow]
  --ci-pool NAME           of Workload Identity Federation                          [CI_POOL, else voiceflow-ci]
  --dry-run                print the commands, as for an empty project, and run none

What is given by no option is taken from the variable in brackets. Each environment of the repository acts
as the account voiceflow-ci-ENVIRONMENT: training reads the two folders, publishing and promotion find the
cluster, images writes images. In the end it prints the commands that tell the repository so. Needs gcloud,
and of the caller roles/iam.workloadIdentityPoolAdmin, roles/iam.serviceAccountAdmin, roles/storage.admin,
roles/artifactregistry.admin and roles/resourcemanager.projectIamAdmin in the project.
USAGE
}

known="project repository repository-id branch data speech conversations images-location images ci-pool"
project="${PROJECT:-}"
repository="${GITHUB_REPOSITORY:-}"
repository_id="${GITHUB_REPOSITORY_ID:-}"
branch="${BRANCH:-main}"
data="${DATA:-}"
speech="${SPEECH:-speech}"
conversations="${CONVERSATIONS:-conversations}"
images_location="${IMAGES_LOCATION:-europe}"
images="${IMAGES:-voiceflow}"
ci_pool="${CI_POOL:-voiceflow-ci}"
while options "$@"; do shift "$taken"; done
data="${data:-$project-voiceflow-data}"
check_project "$project"
check --repository "$repository" '[A-Za-z0-9-]+/[A-Za-z0-9._-]+' 'OWNER/NAME'
check --repository-id "$repository_id" '[1-9][0-9]*' 'a number'
check --branch "$branch" '[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*' 'the name of a branch'
check_bucket --data "$data"
check_folder --speech "$speech"
check_folder --conversations "$conversations"
check_images "$images_location" "$images"
check --ci-pool "$ci_pool" '[a-z][a-z0-9-]{2,30}[a-z0-9]' '4 to 32 of a-z 0-9 -, from a letter on'
[[ $data != "${BUCKET:-$project-voiceflow}" ]] || refuse "--data: '$data'; allowed is another bucket than the registry's"
[[ ! $ci_pool =~ ^gcp- ]] || refuse "--ci-pool: '$ci_pool'; names that begin with gcp- are Google's"

provider=github
environments=(training publishing promotion images)
url="gs://$data"
# Nobody's number is NUMBER; with --dry-run there is no project to ask.
number=NUMBER
"$dry_run" || number="$(gcloud projects describe "$project" --format='value(projectNumber)')"
place="projects/$number/locations/global/workloadIdentityPools/$ci_pool"

at=(--project="$project" --location=global)
there gcloud iam workload-identity-pools describe "$ci_pool" "${at[@]}" ||
    change gcloud iam workload-identity-pools create "$ci_pool" "${at[@]}" --display-name="CI of VoiceFlow"

# A pull request comes from another ref, and gets no further than this.
settings=(
    --workload-identity-pool="$ci_pool"
    --issuer-uri=https://token.actions.githubusercontent.com
    --attribute-mapping="google.subject=assertion.sub,attribute.repository=assertion.repository"
    --attribute-condition="assertion.repository == '$repository' && assertion.repository_id == '$repository_id' && (assertion.ref == 'refs/heads/$branch' || assertion.ref.startsWith('refs/tags/v'))"
)
verb=create-oidc
if there gcloud iam workload-identity-pools providers describe "$provider" "${at[@]}" \
    --workload-identity-pool="$ci_pool"; then
    verb=update-oidc
fi
change gcloud iam workload-identity-pools providers "$verb" "$provider" "${at[@]}" "${settings[@]}"

for environment in "${environments[@]}"; do
    make_account "voiceflow-ci-$environment"
done

# Objects below the two folders; listing is asked of the bucket and not of objects.
account=voiceflow-ci-training
standing="$(granted "$account" gcloud storage buckets get-iam-policy "$url")"
objects="projects/_/buckets/$data/objects"
expression="resource.name.startsWith('$objects/$speech/') || resource.name.startsWith('$objects/$conversations/')"
get="projects/$project/roles/voiceflowObjects.get"
list="projects/$project/roles/voiceflowObjects.list"
has "$get" "$expression" "$standing" ||
    change gcloud storage buckets add-iam-policy-binding "$url" --role="$get" \
        --member="serviceAccount:$(email "$account")" \
        --condition="expression=$expression,title=voiceflow-ci-training"
has "$list" "" "$standing" ||
    change gcloud storage buckets add-iam-policy-binding "$url" --role="$list" \
        --member="serviceAccount:$(email "$account")" --condition=None
no_more "$account" "$url" "$get"$'\t'"$expression"$'\n'"$list"$'\t' "$standing"

grant_images voiceflow-ci-images roles/artifactregistry.writer

grant_in_project voiceflow-ci-training
grant_in_project voiceflow-ci-publishing roles/container.clusterViewer
grant_in_project voiceflow-ci-promotion roles/container.clusterViewer
grant_in_project voiceflow-ci-images

for environment in "${environments[@]}"; do
    change gcloud iam service-accounts add-iam-policy-binding "$(email "voiceflow-ci-$environment")" \
        --project="$project" --role=roles/iam.workloadIdentityUser --condition=None \
        --member="principal://iam.googleapis.com/$place/subject/repo:$repository:environment:$environment"
done

# tell NAME VALUE [ENVIRONMENT]: the command that sets a variable of the repository.
tell() { printf 'gh variable set %s --repo %s%s --body %q\n' "$1" "$repository" "${3:+ --env $3}" "$2"; }

"$dry_run" && exit
tell GCP_WORKLOAD_IDENTITY_PROVIDER "$place/providers/$provider"
tell GCP_PROJECT "$project"
tell VOICEFLOW_SPEECH "$url/$speech"
tell VOICEFLOW_CONVERSATIONS "$url/$conversations"
tell IMAGES_HOST "$images_location-docker.pkg.dev"
tell IMAGES_FOLDER "$project/$images"
tell GCP_TRAINING_ACCOUNT "$(email voiceflow-ci-training)" training
tell GCP_REGISTRY_ACCOUNT "$(email voiceflow-ci-publishing)" publishing
tell GCP_REGISTRY_ACCOUNT "$(email voiceflow-ci-promotion)" promotion
tell GCP_IMAGES_ACCOUNT "$(email voiceflow-ci-images)" images
