# shellcheck shell=bash
# What the scripts beside this one have in common. Sourced, never run.

dry_run=false
# Set by the script: names of the options that take a value, and what functions here go by.
known=""
project=""
images_location=""
images=""

# Says what was wrong with the call, and how to call, then ends with 2.
refuse() {
    printf '%s: %s\n\n' "$(basename "$0")" "$1" >&2
    usage >&2
    exit 2
}

# Says what is not as it must be, then ends with 1.
fail() {
    printf '%s: %s\n' "$(basename "$0")" "$1" >&2
    exit 1
}

# check WHAT VALUE PATTERN ALLOWED: refuses a value that is not wholly of an extended pattern.
check() {
    [[ $2 =~ ^($3)$ ]] || refuse "$1: '$2'; allowed is $4"
}

check_project() {
    check --project "$1" '[a-z][a-z0-9-]{4,28}[a-z0-9]' \
        'an id of 6 to 30 of a-z 0-9 -, from a letter on'
}

check_bucket() {
    check "$1" "$2" '[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]' '3 to 63 of a-z 0-9 _ -, without gs://'
}

# check_folder WHAT VALUE: a place in a bucket.
check_folder() {
    check "$1" "$2" '[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*' \
        'parts of A-Z a-z 0-9 . _ -, with slashes between'
}

# check_images PLACE NAME: of the repository of images.
check_images() {
    check --images-location "$1" '[a-z]+(-[a-z]+[0-9]+)?' 'a location such as europe or europe-west4'
    check --images "$2" '[a-z]([a-z0-9-]{0,61}[a-z0-9])?' 'at most 63 of a-z 0-9 -, from a letter on'
}

# Does something that changes the project; with --dry-run, prints it.
change() {
    if "$dry_run"; then
        printf '%q ' "$@" | sed 's/ $//'
        printf '\n'
    else
        "$@"
    fi
}

# Looks at what there is; with --dry-run nothing is there.
look() {
    ! "$dry_run" && "$@"
}

# there COMMAND...: whether a `describe` finds something. Whatever else goes wrong ends the script.
there() {
    local told
    "$dry_run" && return 1
    if told="$("$@" --format='value(name)' 2>&1)"; then
        return 0
    fi
    case "$told" in
        *NOT_FOUND* | *'not found'* | *'Unknown service account'*) return 1 ;;
        *) fail "$told" ;;
    esac
}

# email ACCOUNT: its whole name in the project.
email() { printf '%s@%s.iam.gserviceaccount.com' "$1" "$project"; }

# make_account ACCOUNT: makes an account of the cloud, once.
make_account() {
    there gcloud iam service-accounts describe "$(email "$1")" --project="$project" ||
        change gcloud iam service-accounts create "$1" --project="$project" --display-name="$1"
}

# granted ACCOUNT COMMAND...: what an account is granted by a policy; lines of a role, a tab, a
# condition.
granted() {
    local member
    member="serviceAccount:$(email "$1")"
    shift
    look "$@" --flatten='bindings[].members' --filter="bindings.members=$member" \
        --format='value(bindings.role,bindings.condition.expression)' || "$dry_run"
}

# has ROLE CONDITION STANDING: whether it is among what is granted.
has() { grep --quiet --fixed-strings --line-regexp -- "$1"$'\t'"$2" <<< "$3"; }

# no_more ACCOUNT WHERE WANTED STANDING: fails if an account is granted what nobody has asked for.
no_more() {
    local more
    more="$(grep --invert-match --fixed-strings --line-regexp -- "$3" <<< "$4" || true)"
    [[ -z ${more//[[:space:]]/} ]] || fail "$1 may do more in $2 than it needs to; take away:
$more"
}

# grant_in_project ACCOUNT ROLE...: grants these in the project, and fails if there are others.
grant_in_project() {
    local account="$1" role standing wanted=""
    shift
    standing="$(granted "$account" gcloud projects get-iam-policy "$project")"
    for role in "$@"; do
        wanted+="$role"$'\t\n'
        has "$role" "" "$standing" ||
            change gcloud projects add-iam-policy-binding "$project" --condition=None \
                --member="serviceAccount:$(email "$account")" --role="$role"
    done
    no_more "$account" "the project $project" "$wanted" "$standing"
}

# grant_images ACCOUNT ROLE: likewise, in the repository of images.
grant_images() {
    local repository="$images" standing
    local at=(--location="$images_location" --project="$project")
    standing="$(granted "$1" gcloud artifacts repositories get-iam-policy "$repository" "${at[@]}")"
    has "$2" "" "$standing" ||
        change gcloud artifacts repositories add-iam-policy-binding "$repository" "${at[@]}" \
            --member="serviceAccount:$(email "$1")" --role="$2"
    no_more "$1" "the repository $repository" "$2"$'\t' "$standing"
}

# Options of every script: `while options "$@"; do shift "$taken"; done` reads those of `known`,
# each into the variable of its name.
options() {
    [[ $# -gt 0 ]] || return 1
    case "$1" in
        --help | -h)
            usage
            exit 0
            ;;
        --dry-run)
            dry_run=true
            taken=1
            return 0
            ;;
        --)
            return 1
            ;;
        --*)
            local name="${1#--}"
            [[ " $known " == *" $name "* ]] || refuse "$1: there is no such option"
            [[ $# -gt 1 ]] || refuse "$1: a value is missing"
            printf -v "${name//-/_}" '%s' "$2"
            # Read by the caller.
            # shellcheck disable=SC2034
            taken=2
            ;;
        *)
            refuse "$1: there are no arguments but options"
            ;;
    esac
}
