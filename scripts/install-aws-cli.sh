#!/usr/bin/env bash
# Installs the AWS command line from PyPI, for test/database/rds-token.test.ts: it signs tokens for RDS without a network. In an
# environment of its own, because it needs other versions of packages than the test tools. Idempotent.
set -euo pipefail
. "$(dirname "$0")/packages.sh"
python=$cache/aws/bin/python
[ -x "$python" ] || python3 -m venv "$cache/aws"
[ -x "$cache/aws/bin/aws" ] || pip_install 'awscli==1.46.3'
"$cache/aws/bin/aws" --version
