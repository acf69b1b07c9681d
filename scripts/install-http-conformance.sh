#!/usr/bin/env bash
# Installs what `npm run http-conformance` asks: REDbot from PyPI in the Python environment of the test tools, and h2spec, built
# by the machine's Go from the Go module. Idempotent.
set -euo pipefail
. "$(dirname "$0")/packages.sh"
make_python
"$python" -c 'import redbot' 2>/dev/null || pip_install 'redbot==2.7.1'
if [ ! -x "$cache/bin/h2spec" ]; then
  if command -v go >/dev/null; then
    mkdir -p "$cache/bin"
    GOBIN=$cache/bin retry go install github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible
  else
    echo 'not installed, as there is no Go: h2spec' >&2
  fi
fi
echo "REDbot in $cache/python, h2spec: $(ls "$cache/bin/h2spec" 2>/dev/null || echo 'none')"
