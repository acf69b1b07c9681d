# For install-test-tools.sh and install-gateways.sh: where things go, and packages from servers that fail now and then.
cache=${MINTMARK_CACHE:-$HOME/.cache/mintmark}
mkdir -p "$cache"
# Also on a Debian's own Python, which no package may be installed into.
python=$cache/python/bin/python

retry() {
  "$@" || { sleep 3; "$@"; } || { sleep 15; "$@"; }
}

# Installs what is missing of these Debian packages, where this user may; says what it could not install.
install_packages() {
  local missing=() name
  for name in "$@"; do dpkg -s "$name" >/dev/null 2>&1 || missing+=("$name"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed, so the suites that need them are skipped: ${missing[*]}" >&2
    return 0
  fi
  retry apt-get update -qq >/dev/null
  # Run level 1, in which a server that is installed is not started.
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive retry apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Makes the Python of our own, which the machine's makes.
make_python() {
  [ ! -x "$python" ] || return 0
  python3 -c 'import ensurepip' 2>/dev/null || install_packages python3 python3-venv
  python3 -m venv "$cache/python"
}

# pip, with the packages or options given.
pip_install() {
  retry "$python" -m pip install --quiet --disable-pip-version-check "$@"
}
