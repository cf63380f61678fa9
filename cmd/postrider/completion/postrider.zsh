#compdef postrider
# Completion of postrider for zsh. To have it in every shell, in a folder of $fpath:
#   postrider completion zsh > ~/.zsh/completions/_postrider

_postrider() {
  local -a lines found
  local line kind word
  lines=("${(@f)$("${(Q)words[1]/#\~/$HOME}" complete -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
  kind=$lines[1]
  case $kind in
    files) [[ -prefix -*= ]] && compset -P '*='; _files; return ;;
    folders) [[ -prefix -*= ]] && compset -P '*='; _files -/; return ;;
  esac
  for line in "${(@)lines[2,-1]}"; do
    [[ -n $line ]] || continue
    word=${line%%$'\t'*}
    found+=("${word//:/\\:}:${line#*$'\t'}")
  done
  _describe -o postrider found
}

if [[ $funcstack[1] == _postrider ]]; then
  _postrider "$@"
else
  compdef _postrider postrider
fi
