#!/usr/bin/env bash
# Puts ClickHouse's engine (chdb, from PyPI) below the cache, for the test of deploy/otel-collector/clickhouse.yaml: 560 MB. Package
# registries have no ClickHouse server. Needs Python 3. Idempotent.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh
version=26.9.0
clickhouse=$cache/clickhouse-$version
command -v python3 >/dev/null || { echo 'ClickHouse cannot be installed: there is no Python 3.' >&2; exit 3; }
if ! "$clickhouse/bin/python" -c 'import chdb' 2>/dev/null; then
  rm -rf "$clickhouse"
  python3 -m venv "$clickhouse"
  # What it depends on is for data frames.
  retry "$clickhouse/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "chdb-core==$version"
fi
echo "ClickHouse's engine $version in $clickhouse"
