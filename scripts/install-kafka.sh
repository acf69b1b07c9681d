#!/usr/bin/env bash
# Puts Apache Kafka with its tools below the cache, from Maven Central, for the test of deploy/otel-collector/kafka.yaml: 54 MB. Needs Java
# 17 and Maven. Idempotent.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/packages.sh
version=4.1.0
kafka=$cache/kafka-$version
command -v java >/dev/null && command -v mvn >/dev/null || { echo 'Kafka cannot be installed: there is no Java and Maven.' >&2; exit 3; }

install_kafka() {
  local download
  download=$(mktemp -d)
  cat >"$download/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>mintmark</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$version</version></dependency>
  </dependencies>
</project>
POM
  (cd "$download" && retry mvn --quiet --batch-mode dependency:copy-dependencies -DoutputDirectory="$download/lib")
  rm -rf "$kafka"
  mkdir "$kafka"
  mv "$download/lib" "$kafka/lib"
  rm -rf "$download"
}

[ -d "$kafka/lib" ] || install_kafka
echo "Kafka $version in $kafka"
