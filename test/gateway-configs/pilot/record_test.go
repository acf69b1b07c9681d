// Records what Istio's own pilot makes of deploy/istio for an ingress gateway, for tokens, for API keys too, and with a
// static policy: the files from which pilot-config.ts builds configurations under test. Only needed when deploy/istio changes
// in kind: the lists of headers and routes are filled in from src/gateway/headers.ts. scripts/record-gateway-configs.sh runs it.
package record

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/jwt"
)

const jwks = `{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`

// By the file they are recorded in: what is applied, in place of or beside what.
var variants = map[string][]string{
	"record.json": {"virtual-service.yaml", "@request-authentication", "@authorization-policy", "@envoy-filter", "@destination-rule"},
	"record-api-keys.json": {"@api-keys/virtual-service", "@api-keys/request-authentication", "@api-keys/authorization-policy",
		"@authorization-policy", "@envoy-filter", "@api-keys/envoy-filter", "@destination-rule"},
	"record-static.json": {"virtual-service.yaml", "@request-authentication", "@static/authorization-policy", "@static/envoy-filter", "@destination-rule"},
}

func TestRecord(t *testing.T) {
	mintmark := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(jwks)) }))
	defer mintmark.Close()
	for file, applied := range variants {
		record := map[string]any{"istio": "v0.0.0-20260827124520-eed52ebb66ad"}
		for _, mode := range []string{"istiod", "envoy"} { // PILOT_JWT_ENABLE_REMOTE_JWKS
			config := read(t, "mesh.yaml")
			for _, each := range applied {
				config += "\n---\n" + read(t, strings.Replace(each, "@", os.Getenv("DEPLOY")+"/", 1)+map[bool]string{true: ".yaml"}[each[0] == '@'])
			}
			if mode == "istiod" {
				config = strings.ReplaceAll(config, "http://mintmark.mintmark.svc.cluster.local:8080", mintmark.URL)
			}
			features.JwksFetchMode = jwt.ConvertToJwksFetchMode(mode)
			recordMode(t, record, mode, config)
		}
		out, _ := json.MarshalIndent(record, "", "  ")
		os.WriteFile(file, out, 0o644)
	}
}

func recordMode(t *testing.T, record map[string]any, mode string, config string) {
	pilot := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{ConfigString: config, MeshConfig: meshConfig(t)})
	labels := map[string]string{"istio": "ingressgateway"}
	gateway := pilot.SetupProxy(&model.Proxy{
		Type:            model.Router,
		ConfigNamespace: "istio-system",
		Labels:          labels,
		Metadata:        &model.NodeMetadata{Namespace: "istio-system", Labels: labels},
	})
	listener := plain(t, pilot.Listeners(gateway)[0])
	manager := dig(listener, "filter_chains", 0, "filters", 0, "typed_config").(map[string]any)
	if mode == "envoy" {
		for _, filter := range manager["http_filters"].([]any) {
			if dig(filter, "name") == "envoy.filters.http.jwt_authn" {
				record["remote_jwks"] = dig(filter, "typed_config", "providers", "origins-0", "remote_jwks")
			}
		}
		return
	}
	// Telemetry, and where the routes come from.
	manager["access_log"] = ours(manager["access_log"].([]any))
	for _, key := range []string{"tracing", "rds", "request_id_extension", "set_current_client_cert_details"} {
		delete(manager, key)
	}
	for _, filter := range manager["http_filters"].([]any) {
		if name := dig(filter, "name").(string); strings.HasPrefix(name, "mintmark.") {
			delete(filter.(map[string]any), "typed_config") // ours: the EnvoyFilters in deploy/istio say it
		}
	}
	for _, limit := range []string{"per_connection_buffer_limit_bytes", "max_connections_to_accept_per_socket_event"} {
		record[limit] = dig(listener, limit)
	}
	record["connection_manager"] = manager
	routes := dig(plain(t, pilot.Routes(gateway)[0]), "virtual_hosts", 0, "routes").([]any)
	for _, route := range routes {
		for _, key := range []string{"metadata", "decorator", "name"} {
			delete(route.(map[string]any), key)
		}
	}
	record["routes"] = routes
	protocols := map[string]any{} // of the clusters that have any: those of a DestinationRule
	for _, cluster := range pilot.Clusters(gateway) {
		if options, has := plain(t, cluster).(map[string]any)["typed_extension_protocol_options"]; has {
			protocols[cluster.Name] = options
		}
	}
	record["protocol_options"] = protocols
}

// The names of the access loggers in deploy/istio: the EnvoyFilters say the rest.
func ours(loggers []any) []any {
	kept := []any{}
	for _, logger := range loggers {
		if name := dig(logger, "name").(string); strings.HasPrefix(name, "mintmark.") {
			kept = append(kept, map[string]any{"name": name})
		}
	}
	return kept
}

func dig(value any, path ...any) any {
	for _, step := range path {
		if index, isIndex := step.(int); isIndex {
			value = value.([]any)[index]
		} else {
			value = value.(map[string]any)[step.(string)]
		}
	}
	return value
}

func read(t *testing.T, path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func plain(t *testing.T, message proto.Message) any {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	json.Unmarshal(text, &value)
	return value
}

// What the istiod chart makes of its values: the provider that the CUSTOM policy names.
func meshConfig(t *testing.T) *meshconfig.MeshConfig {
	values := map[string]any{}
	if err := yaml.Unmarshal([]byte(read(t, os.Getenv("DEPLOY")+"/api-keys/istiod-values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	text, _ := yaml.Marshal(values["meshConfig"])
	config, err := mesh.ApplyMeshConfigDefaults(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return config
}
