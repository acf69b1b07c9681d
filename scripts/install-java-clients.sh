#!/usr/bin/env bash
# Copies Nimbus' OAuth 2.0 SDK and Spring Security's resource server, with what they need, from Maven Central to the cache, for
# test/conformance/java.test.ts. A JDK and Maven come from the distribution, where this user may install packages. Safe to run again.
set -euo pipefail
. "$(dirname "$0")/packages.sh"
pom=$(cd "$(dirname "$0")/.." && pwd)/test/conformance/java/pom.xml
target=$cache/java-clients
if ! cmp -s "$pom" "$target/pom.xml"; then
  command -v javac >/dev/null || install_packages default-jdk-headless
  command -v mvn >/dev/null || install_packages maven
  command -v mvn >/dev/null || { echo 'Maven is not installed: the suite of Java clients is skipped' >&2; exit 0; }
  rm -rf "$target" "$target.partial"
  retry mvn --batch-mode --quiet --file "$pom" org.apache.maven.plugins:maven-dependency-plugin:3.11.0:copy-dependencies \
    -DoutputDirectory="$target.partial"
  cp "$pom" "$target.partial/"
  mv "$target.partial" "$target"
fi
echo "Java clients: $(find "$target" -name '*.jar' | wc -l) libraries in $target, $(java -version 2>&1 | sed -n 1p)"
