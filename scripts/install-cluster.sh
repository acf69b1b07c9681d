#!/usr/bin/env bash
# Builds what test/cluster/ runs, below the cache (the first time about 15 minutes of a core): Kubernetes' API server, controller manager and
# scheduler from their Go modules. etcd is Debian's, unpacked only, because installing it would start a server; Helm is from
# scripts/install-test-tools.sh's wheel; kubeconform is built from its Go module; the CRDs are from those of Istio, Envoy Gateway and the Prometheus operator.
# Needs Go 1.26. Idempotent.
set -euo pipefail
. "$(dirname "$0")/packages.sh"
kubernetes=1.37.2
staging=0.${kubernetes#*.}
cluster=$cache/cluster-$kubernetes
istio=v0.0.0-20260827124520-eed52ebb66ad
envoy_gateway=v1.9.1
prometheus_operator=v0.85.0
kubeconform=v0.8.0
go=$(command -v go || true)
[ -n "$go" ] || { echo 'the cluster cannot be built: there is no Go. Install Go 1.26.' >&2; exit 3; }
mkdir -p "$cluster"

# Kubernetes' module replaces each of its staging modules by a folder of its repository: here they are the published ones.
STAGING='api apiextensions-apiserver apimachinery apiserver cli-runtime client-go cloud-provider cluster-bootstrap code-generator
component-base component-helpers controller-manager cri-api cri-client cri-streaming csi-translation-lib dynamic-resource-allocation
endpointslice externaljwt kms kube-aggregator kube-controller-manager kube-proxy kube-scheduler kubectl kubelet metrics mount-utils
pod-security-admission sample-apiserver sample-cli-plugin sample-controller streaming'
PROGRAMS='kube-apiserver kube-controller-manager kube-scheduler'

build() {
  rm -rf "$cluster/source" "$cluster/partial"
  mkdir -p "$cluster/source" "$cluster/partial"
  cd "$cluster/source"
  local name packages=()
  {
    printf 'module cluster\n\ngo 1.26.0\n\ngodebug default=go1.26\n\nrequire k8s.io/kubernetes v%s\n\nreplace (\n' "$kubernetes"
    for name in $STAGING; do printf '\tk8s.io/%s => k8s.io/%s v%s\n' "$name" "$name" "$staging"; done
    printf ')\n'
  } >go.mod
  {
    printf '//go:build tools\n\npackage tools\n\nimport (\n'
    for name in $PROGRAMS; do printf '\t_ "k8s.io/kubernetes/cmd/%s/app"\n' "$name"; done
    printf ')\n'
  } >tools.go
  for name in $PROGRAMS; do packages+=("k8s.io/kubernetes/cmd/$name"); done
  export GOFLAGS=-mod=mod GOTOOLCHAIN=local CGO_ENABLED=0
  local version=k8s.io/component-base/version
  retry "$go" mod download k8s.io/kubernetes
  nice -n 19 "$go" build -trimpath -ldflags "-s -w -X $version.gitVersion=v$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=37 \
    -X $version.gitTreeState=clean -X $version.gitCommit=unknown -X $version.buildDate=2026-01-01T00:00:00Z" -o "$cluster/partial/" "${packages[@]}"
  mv "$cluster"/partial/* "$cluster/"
  cd /
  rm -rf "$cluster/source" "$cluster/partial"
}

# module <path@version>: the folder of a Go module.
module() {
  (cd "$cluster" && retry "$go" mod download "$1" && echo "$("$go" env GOMODCACHE)/$(sed 's/\([A-Z]\)/!\l\1/g' <<<"$1")")
}

crds() {
  local folder
  mkdir -p "$cluster/crds.partial"
  folder=$(module "istio.io/istio@$istio")
  cp "$folder/manifests/charts/base/files/crd-all.gen.yaml" "$cluster/crds.partial/istio.yaml"
  folder=$(module "github.com/envoyproxy/gateway@$envoy_gateway")
  "$cache/bin/helm" template crds "$folder/charts/gateway-crds-helm" --set crds.gatewayAPI.enabled=true --set crds.envoyGateway.enabled=true \
    >"$cluster/crds.partial/gateways.yaml"
  folder=$(module "github.com/prometheus-operator/prometheus-operator@$prometheus_operator")
  cp "$folder"/example/prometheus-operator-crd/monitoring.coreos.com_{servicemonitors,podmonitors,prometheusrules}.yaml "$cluster/crds.partial/"
  mv "$cluster/crds.partial" "$cluster/crds"
}

etcd() {
  local download
  download=$(mktemp -d)
  [ "$(id -u)" != 0 ] || retry apt-get update -qq >/dev/null
  (cd "$download" && retry apt-get download -qq etcd-server 2>/dev/null)
  rm -rf "$cluster/etcd"
  dpkg -x "$download"/etcd-server_*.deb "$cluster/etcd"
  rm -rf "$download"
}

kubeconform() {
  GOBIN=$cluster GOTOOLCHAIN=local CGO_ENABLED=0 retry nice -n 19 "$go" install -trimpath "github.com/yannh/kubeconform/cmd/kubeconform@$kubeconform"
}

make_python
install_helm
[ -x "$cluster/etcd/usr/bin/etcd" ] || etcd
[ -d "$cluster/crds" ] || { rm -rf "$cluster/crds.partial"; crds; }
[ -x "$cluster/kubeconform" ] || kubeconform
for program in $PROGRAMS; do [ -x "$cluster/$program" ] || { (build); break; }; done
echo "cluster: Kubernetes $kubernetes in $cluster, $("$cluster/etcd/usr/bin/etcd" --version | head -1), $cache/bin/helm"
