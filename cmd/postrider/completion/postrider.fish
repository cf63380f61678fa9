# Completion of postrider for fish. To have it in every shell:
#   postrider completion fish > ~/.config/fish/completions/postrider.fish

function __postrider_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l lines ($words[1] complete -- $words[2..-1] $current 2>/dev/null)
    switch "$lines[1]"
        case files
            __fish_complete_path (string replace -r '^-[^=]*=' '' -- $current)
        case folders
            __fish_complete_directories (string replace -r '^-[^=]*=' '' -- $current) ''
        case '*'
            printf '%s\n' $lines[2..-1]
    end
end
complete -c postrider -f -a '(__postrider_complete)'
