# Completion of postrider for bash. To have it in every shell:
#   postrider completion bash > ~/.local/share/bash-completion/completions/postrider

_postrider() {
  local rest=${COMP_LINE:0:COMP_POINT} words=() i word blank
  # bash parts words at = : and @ too; where no blank stands between two, they are one.
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    blank=${rest%%[![:blank:]]*}
    rest=${rest#"$blank"}
    ((i == COMP_CWORD)) && word=$rest
    rest=${rest#"$word"}
    if [[ $i == 0 || -n $blank ]]; then words+=("$word"); else words[${#words[@]} - 1]+=$word; fi
  done
  local current=${words[${#words[@]} - 1]} line kind=
  # What stands before the last of those stays on the line as it is.
  local stays= breaks= c
  for c in = : @; do [[ $COMP_WORDBREAKS == *"$c"* ]] && breaks+=$c; done
  [[ -n $breaks && $current == *[$breaks]* ]] && stays=${current%"${current##*[$breaks]}"}

  COMPREPLY=()
  while IFS= read -r line; do
    if [[ -z $kind ]]; then kind=$line; continue; fi
    line=${line%%$'\t'*}
    COMPREPLY+=("${line#"$stays"}")
  done < <("${words[0]/#\~/$HOME}" complete -- "${words[@]:1}" 2>/dev/null)

  local part=${current#"$stays"}
  case $kind in
    files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$part") ;;
    folders) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$part") ;;
  esac
}
complete -F _postrider postrider
