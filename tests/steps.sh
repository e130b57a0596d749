# shellcheck shell=bash
# Sourced by the scripts that run one step after the other: a table of their times comes last, however it ends.
#   step NAME          the next step begins, and the one before has passed
#   skip NAME WHY      a step that cannot be done here
#   pass               the last one has passed
step_names=() step_times=() step_words=()
step_began=

step_ended() {
    [ -n "$step_began" ] || return 0
    step_times+=($((SECONDS - step_began))) step_words+=("$1")
    step_began=
}
step() {
    step_ended passed
    printf '\n== %s (at %ss)\n' "$1" "$SECONDS" >&2
    step_names+=("$1") step_began=$SECONDS
}
skip() {
    step_ended passed
    printf '\nSKIPPED: %s: %s\n' "$1" "$2" >&2
    step_names+=("$1") step_times+=(0) step_words+=("SKIPPED: $2")
}
pass() { step_ended passed; }
step_table() {
    local status=$? index
    step_ended FAILED
    printf '\n' >&2
    for index in "${!step_names[@]}"; do
        printf '%6ss  %-60s %s\n' "${step_times[index]}" "${step_names[index]}" "${step_words[index]}" >&2
    done
    printf '%6ss  in all\n' "$SECONDS" >&2
    exit "$status"
}
trap step_table EXIT
