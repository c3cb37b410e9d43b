#!/bin/sh
# Checks the Helm chart: `helm lint`, and every manifest against Kubernetes' own schemas, with few and with all values.
# Outside the tests: building helm takes minutes. Needs Go, and Python with venv; nothing is installed outside a temporary folder.
set -eu

HELM=v3.19.2
KUBERNETES_VALIDATE=1.37.0
KUBERNETES='1.27 1.31 1.34'

here=$(cd "$(dirname "$0")/../.." && pwd)
chart=$here/docs/helm/tollgate
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

echo "building helm $HELM"
GOBIN=$folder/bin GOFLAGS=-modcacherw go install "helm.sh/helm/v3/cmd/helm@$HELM"
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "kubernetes-validate==$KUBERNETES_VALIDATE"

"$folder/bin/helm" lint --strict "$chart"
for version in $KUBERNETES; do
  # Helm that is built from its module takes the cluster for Kubernetes 1.20 unless it is told.
  "$folder/bin/helm" template usual "$chart" --kube-version "$version.0" > "$folder/usual.yaml"
  "$folder/bin/helm" template whole "$chart" --kube-version "$version.0" \
    --set ingress.enabled=true,ingress.host=tollgate.example.com,ingress.tlsSecret=tls,ingress.className=nginx \
    --set migrate.ownerUrlKey=OWNER_URL,migrate.runtimeRole=tollgate_runtime,journal.storageClass=fast \
    --set-string settings.TOLLGATE_WORKERS=2 \
    --set-file "configFile=$here/docs/examples/tollgate.yaml" > "$folder/whole.yaml"
  "$folder/venv/bin/kubernetes-validate" --strict --quiet --kubernetes-version "$version" "$folder/usual.yaml" "$folder/whole.yaml"
  echo "Kubernetes $version: the manifests are valid"
done

if "$folder/bin/helm" template wrong "$chart" --kube-version 1.31.0 --set-string settings.lower=1 2> "$folder/wrong"; then
  echo "a setting that is no name of an environment variable was taken" >&2
  exit 1
fi
grep -q 'does not match pattern' "$folder/wrong"
echo 'The chart is valid'
