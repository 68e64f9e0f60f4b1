# Shared by the scripts: where things are, messages, phases. Sourced, not run.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
mkdir -p .setun

say() { printf '%s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# phase NAME COMMAND...: runs the command with its output in .setun/NAME.log, prints the time it took, and on failure the
# end of the log.
phase() {
  local name=$1 start=$SECONDS status=0
  shift
  "$@" >".setun/$name.log" 2>&1 </dev/null || status=$?
  if [ "$status" -ne 0 ]; then
    tail -n 40 ".setun/$name.log" >&2
    die "$name failed (exit $status); the whole output is in .setun/$name.log"
  fi
  say "$name: $((SECONDS - start)) s"
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "installing packages needs root: run as root, install sudo, or install by hand: $*"
  fi
}

# The LibTorch folder in use: the user's own (SETUN_LIBTORCH), or the one scripts/setup makes.
libtorch() {
  if [ -n "${SETUN_LIBTORCH:-}" ]; then
    printf '%s' "$SETUN_LIBTORCH"
  else
    printf '%s' "$root"/.setun/libtorch/lib/python3*/site-packages/torch
  fi
}
