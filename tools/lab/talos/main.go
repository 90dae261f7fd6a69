// talos-config answers questions about Talos' machine configurations with Talos' own packages.
//
// It reads one JSON request a line and writes one JSON answer a line, in the same order, until its input ends.
// Secrets are in requests and answers only: nothing is logged or kept. What a request holds is in the struct
// `request`; `verbs` lists what it may ask for. With --version it says which release of the packages it is.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/siderolabs/crypto/x509"
	"github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/configpatcher"
	"github.com/siderolabs/talos/pkg/machinery/config/encoder"
	"github.com/siderolabs/talos/pkg/machinery/config/generate"
	"github.com/siderolabs/talos/pkg/machinery/config/generate/secrets"
	"github.com/siderolabs/talos/pkg/machinery/config/machine"
	"github.com/siderolabs/talos/pkg/machinery/config/validation"
	"github.com/siderolabs/talos/pkg/machinery/constants"
	"github.com/siderolabs/talos/pkg/machinery/role"
)

const machinery = "github.com/siderolabs/talos/pkg/machinery"

// lineMax is far above any configuration: Talos itself takes a few MiB at most.
const lineMax = 16 << 20

// request is one line of input. Each verb uses the fields that it names.
type request struct {
	Verb              string          `json:"verb"`
	TalosVersion      string          `json:"talosVersion"`
	MachineSecrets    *machineSecrets `json:"machineSecrets"`
	ClusterName       string          `json:"clusterName"`
	ClusterEndpoint   string          `json:"clusterEndpoint"`
	KubernetesVersion string          `json:"kubernetesVersion"`
	MachineType       string          `json:"machineType"`
	ConfigPatches     []string        `json:"configPatches"`
	Configuration     string          `json:"configuration"`
	Mode              string          `json:"mode"`
}

// answer is one line of output: exactly one of error and the verb's own fields is set.
type answer struct {
	Error                string               `json:"error,omitempty"`
	MachineSecrets       *machineSecrets      `json:"machineSecrets,omitempty"`
	ClientConfiguration  *clientConfiguration `json:"clientConfiguration,omitempty"`
	MachineConfiguration string               `json:"machineConfiguration,omitempty"`
	Valid                bool                 `json:"valid,omitempty"`
}

// The secrets as the Pulumi provider's schema names them; certificates and keys are base64 of PEM.
type machineSecrets struct {
	Cluster struct {
		ID     string `json:"id"`
		Secret string `json:"secret"`
	} `json:"cluster"`
	Secrets struct {
		BootstrapToken  string `json:"bootstrapToken"`
		SecretboxSecret string `json:"secretboxEncryptionSecret"`
		AescbcSecret    string `json:"aescbcEncryptionSecret,omitempty"`
	} `json:"secrets"`
	Trustdinfo struct {
		Token string `json:"token"`
	} `json:"trustdinfo"`
	Certs struct {
		Etcd              pair `json:"etcd"`
		K8s               pair `json:"k8s"`
		K8sAggregator     pair `json:"k8sAggregator"`
		K8sServiceaccount struct {
			Key string `json:"key"`
		} `json:"k8sServiceaccount"`
		OS pair `json:"os"`
	} `json:"certs"`
}

type pair struct {
	Cert string `json:"cert"`
	Key  string `json:"key"`
}

type clientConfiguration struct {
	CACertificate     string `json:"caCertificate"`
	ClientCertificate string `json:"clientCertificate"`
	ClientKey         string `json:"clientKey"`
}

var verbs = map[string]func(request) (answer, error){
	"secrets":  makeSecrets,
	"generate": generateConfiguration,
	"patch":    patchConfiguration,
	"validate": validateConfiguration,
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		fmt.Println("talos-config", version())
		return
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 64<<10), lineMax)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		if err := out.Encode(answerTo(lines.Bytes())); err != nil {
			fmt.Fprintln(os.Stderr, "talos-config: the answer could not be written:", err)
			os.Exit(1)
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "talos-config: the request could not be read:", err)
		os.Exit(1)
	}
}

// version is that of the packages, as the binary was built with them.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			if dependency.Path == machinery {
				return dependency.Version
			}
		}
	}
	return "unknown"
}

func answerTo(line []byte) answer {
	var asked request
	if err := json.Unmarshal(line, &asked); err != nil {
		return answer{Error: "request: " + err.Error()}
	}
	verb, known := verbs[asked.Verb]
	if !known {
		return answer{Error: fmt.Sprintf("verb: expected secrets, generate, patch or validate, found %q", asked.Verb)}
	}
	found, err := verb(asked)
	if err != nil {
		return answer{Error: err.Error()}
	}
	return found
}

// makeSecrets answers with a new bundle and an administrator's client certificate. Uses talosVersion.
func makeSecrets(asked request) (answer, error) {
	contract, err := config.ParseContractFromVersion(asked.TalosVersion)
	if err != nil {
		return answer{}, err
	}
	bundle, err := secrets.NewBundle(secrets.NewClock(), contract)
	if err != nil {
		return answer{}, err
	}
	client, err := bundle.GenerateTalosAPIClientCertificate(role.MakeSet(role.Admin))
	if err != nil {
		return answer{}, err
	}
	return answer{
		MachineSecrets: fromBundle(bundle),
		ClientConfiguration: &clientConfiguration{
			CACertificate:     encoded(bundle.Certs.OS.Crt),
			ClientCertificate: encoded(client.Crt),
			ClientKey:         encoded(client.Key),
		},
	}, nil
}

// generateConfiguration answers with a machine's configuration, with what the provider's getConfiguration
// takes for granted (discovery, DNS domain). Uses all of its arguments.
func generateConfiguration(asked request) (answer, error) {
	contract, err := config.ParseContractFromVersion(asked.TalosVersion)
	if err != nil {
		return answer{}, err
	}
	kind, err := machine.ParseType(asked.MachineType)
	if err != nil {
		return answer{}, err
	}
	if asked.MachineSecrets == nil {
		return answer{}, fmt.Errorf("machineSecrets: expected a bundle, found none")
	}
	bundle, err := toBundle(asked.MachineSecrets)
	if err != nil {
		return answer{}, err
	}
	input, err := generate.NewInput(
		asked.ClusterName, asked.ClusterEndpoint, strings.TrimPrefix(asked.KubernetesVersion, "v"),
		generate.WithVersionContract(contract),
		generate.WithSecretsBundle(bundle),
		generate.WithClusterDiscovery(true),
		generate.WithDNSDomain(constants.DefaultDNSDomain),
		generate.WithInstallDisk("/dev/sda"),
	)
	if err != nil {
		return answer{}, err
	}
	made, err := input.Config(kind)
	if err != nil {
		return answer{}, err
	}
	return patched(configpatcher.WithConfig(made), asked.ConfigPatches)
}

// patchConfiguration answers with a configuration that patches were merged into. Uses configuration, configPatches.
func patchConfiguration(asked request) (answer, error) {
	return patched(configpatcher.WithBytes([]byte(asked.Configuration)), asked.ConfigPatches)
}

// validateConfiguration answers `valid`, or with all that is wrong; a warning is wrong too. Uses configuration, mode.
func validateConfiguration(asked request) (answer, error) {
	installs, known := map[string]bool{"metal": true, "cloud": false}[asked.Mode]
	if !known {
		return answer{}, fmt.Errorf("mode: expected metal or cloud, found %q", asked.Mode)
	}
	read, err := configloader.NewFromBytes([]byte(asked.Configuration))
	if err != nil {
		return answer{}, err
	}
	if _, err := read.Validate(mode{asked.Mode, installs}, validation.WithLocal(), validation.WithStrict()); err != nil {
		return answer{}, err
	}
	return answer{Valid: true}, nil
}

func patched(input configpatcher.Input, texts []string) (answer, error) {
	patches, err := configpatcher.LoadPatches(texts)
	if err != nil {
		return answer{}, err
	}
	output, err := configpatcher.Apply(input, patches)
	if err != nil {
		return answer{}, err
	}
	whole, err := output.Config()
	if err != nil {
		return answer{}, err
	}
	text, err := whole.EncodeString(encoder.WithComments(encoder.CommentsDisabled))
	if err != nil {
		return answer{}, err
	}
	return answer{MachineConfiguration: text}, nil
}

// mode is where a configuration is to run. Fulfils validation.RuntimeMode.
type mode struct {
	name     string
	installs bool
}

func (m mode) String() string        { return m.name }
func (m mode) RequiresInstall() bool { return m.installs }
func (m mode) InContainer() bool     { return false }

func fromBundle(bundle *secrets.Bundle) *machineSecrets {
	found := &machineSecrets{}
	found.Cluster.ID, found.Cluster.Secret = bundle.Cluster.ID, bundle.Cluster.Secret
	found.Secrets.BootstrapToken = bundle.Secrets.BootstrapToken
	found.Secrets.SecretboxSecret = bundle.Secrets.SecretboxEncryptionSecret
	found.Secrets.AescbcSecret = bundle.Secrets.AESCBCEncryptionSecret
	found.Trustdinfo.Token = bundle.TrustdInfo.Token
	found.Certs.Etcd = toPair(bundle.Certs.Etcd)
	found.Certs.K8s = toPair(bundle.Certs.K8s)
	found.Certs.K8sAggregator = toPair(bundle.Certs.K8sAggregator)
	found.Certs.K8sServiceaccount.Key = encoded(bundle.Certs.K8sServiceAccount.Key)
	found.Certs.OS = toPair(bundle.Certs.OS)
	return found
}

func toBundle(given *machineSecrets) (*secrets.Bundle, error) {
	bundle := &secrets.Bundle{
		Clock:   secrets.NewClock(),
		Cluster: &secrets.Cluster{ID: given.Cluster.ID, Secret: given.Cluster.Secret},
		Secrets: &secrets.Secrets{
			BootstrapToken:            given.Secrets.BootstrapToken,
			SecretboxEncryptionSecret: given.Secrets.SecretboxSecret,
			AESCBCEncryptionSecret:    given.Secrets.AescbcSecret,
		},
		TrustdInfo: &secrets.TrustdInfo{Token: given.Trustdinfo.Token},
		Certs:      &secrets.Certs{},
	}
	for _, one := range []struct {
		name string
		from pair
		to   **x509.PEMEncodedCertificateAndKey
	}{
		{"etcd", given.Certs.Etcd, &bundle.Certs.Etcd},
		{"k8s", given.Certs.K8s, &bundle.Certs.K8s},
		{"k8sAggregator", given.Certs.K8sAggregator, &bundle.Certs.K8sAggregator},
		{"os", given.Certs.OS, &bundle.Certs.OS},
	} {
		certificate, err := base64.StdEncoding.DecodeString(one.from.Cert)
		if err != nil {
			return nil, fmt.Errorf("machineSecrets.certs.%s.cert: %w", one.name, err)
		}
		key, err := base64.StdEncoding.DecodeString(one.from.Key)
		if err != nil {
			return nil, fmt.Errorf("machineSecrets.certs.%s.key: %w", one.name, err)
		}
		*one.to = &x509.PEMEncodedCertificateAndKey{Crt: certificate, Key: key}
	}
	key, err := base64.StdEncoding.DecodeString(given.Certs.K8sServiceaccount.Key)
	if err != nil {
		return nil, fmt.Errorf("machineSecrets.certs.k8sServiceaccount.key: %w", err)
	}
	bundle.Certs.K8sServiceAccount = &x509.PEMEncodedKey{Key: key}
	return bundle, bundle.Validate()
}

func toPair(made *x509.PEMEncodedCertificateAndKey) pair {
	return pair{Cert: encoded(made.Crt), Key: encoded(made.Key)}
}

func encoded(pem []byte) string { return base64.StdEncoding.EncodeToString(pem) }
