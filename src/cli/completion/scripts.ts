/**
 * What the shells read. Each script asks `mintmark completion <shell> -- <words>` for the possible next words, so that
 * it never differs from the version that is installed.
 */

const BASH = `# Completion of mintmark for bash. Load it in ~/.bashrc:  source <(mintmark completion bash)
_mintmark() {
  local cur words cword line word
  if declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref -n '=:@' cur words cword
  else
    cur=\${COMP_WORDS[COMP_CWORD]} words=("\${COMP_WORDS[@]}") cword=$COMP_CWORD
  fi
  # bash replaces only what follows the last of "=", ":" and "@".
  local last=\${COMP_WORDS[COMP_CWORD]} before
  if [[ $last =~ ^[=:@]+$ ]]; then before=$cur; else before=\${cur%"$last"}; fi
  COMPREPLY=()
  while IFS= read -r line; do
    if [[ $line == :files ]]; then
      compopt -o filenames
      while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$cur")
    else
      word=\${line%%$'\\t'*}
      COMPREPLY+=("\${word#"$before"}")
    fi
  done < <(mintmark completion bash -- "\${words[@]:1:cword}" 2>/dev/null)
}
complete -F _mintmark mintmark
`

const ZSH = `#compdef mintmark
# Completion of mintmark for zsh. Load it in ~/.zshrc, after compinit:  source <(mintmark completion zsh)
_mintmark() {
  local line word
  local -a described
  for line in "\${(@f)$(mintmark completion zsh -- "\${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
    if [[ $line == :files ]]; then
      _files
    elif [[ -n $line ]]; then
      word=\${line%%$'\\t'*}
      described+=("\${word//:/\\\\:}:\${line#*$'\\t'}")
    fi
  done
  (( $#described )) && _describe -V mintmark described
}
if [[ $funcstack[1] == _mintmark ]]; then
  _mintmark "$@"
else
  compdef _mintmark mintmark
fi
`

const FISH = `# Completion of mintmark for fish. Write it to ~/.config/fish/completions/mintmark.fish
function __mintmark_complete
    set -l current (commandline -ct)
    # One word in quotes, also when it is empty.
    set -l words (commandline -opc) "$current"
    for line in (mintmark completion fish -- $words[2..-1] 2>/dev/null)
        if test "$line" = :files
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c mintmark -f -a '(__mintmark_complete)'
`

export const SCRIPTS = { bash: BASH, zsh: ZSH, fish: FISH } as const
export type Shell = keyof typeof SCRIPTS
