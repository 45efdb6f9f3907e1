# Completion for fish of stap-bundle, and of systemtap and stap-server, which are links to it: the program itself says what may follow.

function __stap_bundle_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    set -l program (string replace -r '.*/' '' -- $words[1])
    set -e words[1]
    set -l lines (stap-bundle __complete $program $words "$typed" 2>/dev/null)
    set -l rest $lines[1]
    set -e lines[1]
    string join -- \n $lines
    switch "$rest"
        case files
            __fish_complete_path "$typed"
        case directories
            __fish_complete_directories "$typed" ''
    end
end

for program in stap-bundle systemtap systemtap-service stap-server
    complete -c $program -e
    complete -c $program -f -a '(__stap_bundle_complete)'
end
