// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package kubernetes

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
)

const (
	repository = "../../../.."
	examples   = repository + "/examples/kubernetes"
)

// objects decodes the manifests of a file as the API server does with strict validation: a key that is unknown, or there twice, is
// an error.
func objects(t *testing.T, file string) []runtime.Object {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
	var decoded []runtime.Object
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		object, _, err := strict.Decode(document, nil, nil)
		require.NoError(t, err, "%s: %s", file, document)
		decoded = append(decoded, object)
	}
	return decoded
}

// one returns the only object of a type.
func one[T runtime.Object](t *testing.T, decoded []runtime.Object) T {
	t.Helper()
	var found []T
	for _, object := range decoded {
		if o, ok := object.(T); ok {
			found = append(found, o)
		}
	}
	require.Len(t, found, 1)
	return found[0]
}

func TestStatefulSetIsWhatItSays(t *testing.T) {
	decoded := objects(t, filepath.Join(examples, "statefulset.yaml"))
	set := one[*apps.StatefulSet](t, decoded)
	assert.Equal(t, set.Spec.Selector.MatchLabels, set.Spec.Template.Labels)
	assert.Equal(t, set.Spec.Selector.MatchLabels, one[*core.Service](t, decoded).Spec.Selector)
	assert.EqualValues(t, 1, *set.Spec.Replicas, "each Pod has a volume of its own, so a second one would collect everything again")
	mounted(t, &set.Spec.Template.Spec, set.Spec.VolumeClaimTemplates[0].Name)
}

func TestDeploymentMayElectALeader(t *testing.T) {
	decoded := objects(t, filepath.Join(examples, "leader-election", "deployment.yaml"))
	deployment := one[*apps.Deployment](t, decoded)
	assert.Equal(t, deployment.Spec.Selector.MatchLabels, deployment.Spec.Template.Labels)
	assert.Equal(t, deployment.Spec.Selector.MatchLabels, one[*core.Service](t, decoded).Spec.Selector)
	pod := &deployment.Spec.Template.Spec
	claim := one[*core.PersistentVolumeClaim](t, decoded)
	assert.Equal(t, []core.PersistentVolumeAccessMode{core.ReadWriteMany}, claim.Spec.AccessModes, "both Pods have it")
	mounted(t, pod)
	assert.True(t, slices.ContainsFunc(pod.Volumes, func(v core.Volume) bool {
		return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == claim.Name
	}))

	role, binding, account := one[*rbac.Role](t, decoded), one[*rbac.RoleBinding](t, decoded), one[*core.ServiceAccount](t, decoded)
	assert.Equal(t, account.Name, pod.ServiceAccountName)
	assert.Nil(t, pod.AutomountServiceAccountToken, "the extension logs in with the token")
	assert.Equal(t, role.Name, binding.RoleRef.Name)
	assert.Equal(t, account.Name, binding.Subjects[0].Name)
	config, err := os.ReadFile(filepath.Join(examples, "leader-election", "config.yaml"))
	require.NoError(t, err)
	allowed := map[string]bool{}
	for _, rule := range role.Rules {
		assert.Equal(t, []string{"coordination.k8s.io"}, rule.APIGroups)
		assert.Equal(t, []string{"leases"}, rule.Resources)
		for _, name := range rule.ResourceNames {
			assert.Contains(t, string(config), "lease_name: "+name+"\n")
		}
		for _, verb := range rule.Verbs {
			allowed[verb] = true
		}
	}
	assert.Equal(t, map[string]bool{"get": true, "create": true, "update": true}, allowed, "what the lease server of these tests serves suffices")
}

// mounted checks that a Pod has every volume that it mounts; claims are volumes that come from elsewhere.
func mounted(t *testing.T, pod *core.PodSpec, claims ...string) {
	t.Helper()
	for _, v := range pod.Volumes {
		claims = append(claims, v.Name)
	}
	for _, mount := range pod.Containers[0].VolumeMounts {
		assert.Contains(t, claims, mount.Name)
	}
	for _, probe := range []*core.Probe{pod.Containers[0].LivenessProbe, pod.Containers[0].ReadinessProbe} {
		assert.True(t, slices.ContainsFunc(pod.Containers[0].Ports, func(p core.ContainerPort) bool { return p.Name == probe.HTTPGet.Port.StrVal }))
	}
}

// What is in one distribution and is forgotten in the other one would be missed by those who change over.
func TestDistributionsDifferInTheElectionOnly(t *testing.T) {
	components := func(file string) []string {
		text, err := os.ReadFile(filepath.Join(repository, file))
		require.NoError(t, err)
		_, after, found := strings.Cut(string(text), "\nreceivers:\n")
		require.True(t, found)
		return slices.DeleteFunc(strings.Split(after, "\n"), func(line string) bool { return strings.Contains(line, "/k8sleaderelector ") })
	}
	assert.Equal(t, components("builder-config.yaml"), components("builder-config-kubernetes.yaml"))
}
