# For install-test-tools.sh and install-gateways.sh: install locations, and package installation with retries.
cache=${MINTMARK_CACHE:-$HOME/.cache/mintmark}
mkdir -p "$cache"
# Also for Debian's own Python, which does not allow installing packages.
python=$cache/python/bin/python

retry() {
  "$@" || { sleep 3; "$@"; } || { sleep 15; "$@"; }
}

# Installs missing Debian packages, where this user may; reports those it could not install.
install_packages() {
  local missing=() name
  for name in "$@"; do dpkg -s "$name" >/dev/null 2>&1 || missing+=("$name"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed, so the suites that need them are skipped: ${missing[*]}" >&2
    return 0
  fi
  retry apt-get update -qq >/dev/null
  # Run level 1, in which installing a server does not start it.
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive retry apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Creates our own Python environment with the machine's Python.
make_python() {
  [ ! -x "$python" ] || return 0
  python3 -c 'import ensurepip' 2>/dev/null || install_packages python3 python3-venv
  python3 -m venv "$cache/python"
}

# Runs pip with the given packages or options.
pip_install() {
  retry "$python" -m pip install --quiet --disable-pip-version-check "$@"
}
