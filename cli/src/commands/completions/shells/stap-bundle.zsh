#compdef stap-bundle systemtap systemtap-service stap-server

# Completion for zsh of stap-bundle, and of systemtap and stap-server, which are links to it: the program itself says what may follow.

_stap_bundle() {
    local rest result=1
    local -a lines
    lines=("${(@f)$(stap-bundle __complete "$service" "${(@Q)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)}")
    rest=${lines[1]:-nothing}
    # What _describe takes has a colon where an answer has a tab.
    lines=("${(@)${(@)lines[2,-1]//:/\\:}/$'\t'/:}")
    (( $#lines )) && _describe 'stap-bundle' lines && result=0
    case $rest in
    files) _files && result=0 ;;
    directories) _files -/ && result=0 ;;
    esac
    return result
}

if [[ $funcstack[1] == _stap-bundle ]]; then
    _stap_bundle "$@"
else
    compdef _stap_bundle stap-bundle systemtap systemtap-service stap-server
fi
