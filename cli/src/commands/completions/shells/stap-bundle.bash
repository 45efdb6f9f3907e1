# Completion for bash of stap-bundle, and of systemtap and stap-server, which are links to it: the program itself says what may follow.

_stap_bundle() {
    local line rest
    local -a lines
    COMPREPLY=()
    mapfile -t lines < <(stap-bundle __complete "${1##*/}" "${COMP_WORDS[@]:1:COMP_CWORD-1}" "$2" 2>/dev/null)
    rest=${lines[0]-nothing}
    for line in "${lines[@]:1}"; do
        COMPREPLY+=("${line%%$'\t'*}")
    done
    case $rest in
    files) mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$2") ;;
    directories) mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "$2") ;;
    *) return ;;
    esac
    compopt -o filenames
}

complete -F _stap_bundle stap-bundle systemtap systemtap-service stap-server
