# shellcheck shell=bash
# What the scripts beside this one have in common. Sourced, never run.

dry_run=false
# Set by the script: names of the options that take a value.
known=""

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
    check --bucket "$1" '[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]' '3 to 63 of a-z 0-9 _ -, without gs://'
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
