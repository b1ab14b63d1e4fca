#!/usr/bin/env bash
# Lints the chart, holds what it makes to deploy/helm/golden and to the schemas of Kubernetes: scripts/check_helm.sh
#
# UPDATE_SNAPSHOTS=1 writes deploy/helm/golden anew; read the difference before it is committed. Kinds of others (ServiceMonitor, ScaledObject)
# have no schema there and are held to deploy/helm/golden only.
set -euo pipefail
cd "$(dirname "$0")/../deploy/helm"

cache=${AVICUNA_CACHE:-$HOME/.cache/avicuna}
helm=$cache/tools/helm
validate=$cache/venv-kubernetes/bin/kubernetes-validate
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

die() {
    echo "check_helm: $*" >&2
    exit 1
}

for tool in "$helm" "$validate"; do
    [ -x "$tool" ] || die "$tool is missing; run scripts/setup.sh package"
done

# The values of $1, where there are any.
values() {
    [ ! -f "golden/$1.values.yaml" ] || echo "--values=golden/$1.values.yaml"
}

for name in default full; do
    mapfile -t values < <(values "$name")
    "$helm" lint --quiet --strict "${values[@]}" avicuna
    "$helm" template shop avicuna --namespace streams "${values[@]}" >"$work/$name.yaml"
    if [ -n "${UPDATE_SNAPSHOTS:-}" ]; then
        cp "$work/$name.yaml" "golden/$name.yaml"
    fi
    diff -u "golden/$name.yaml" "$work/$name.yaml" || die "the chart makes something else than golden/$name.yaml; see above"
    # Documents of Kubernetes' own kinds.
    awk -v RS='---\n' -v ORS='' '!/apiVersion: (monitoring\.coreos\.com|keda\.sh)\// && /kind:/ { print "---\n" $0 }' "$work/$name.yaml" >"$work/own.yaml"
    for version in 1.28 1.37; do
        "$validate" --strict --quiet --kubernetes-version "$version" "$work/own.yaml" || die "Kubernetes $version does not take what golden/$name.yaml shows"
    done
done

for version in 1.28 1.37; do
    "$validate" --strict --quiet --kubernetes-version "$version" ../kubernetes/dataset.yaml || die "Kubernetes $version does not take deploy/kubernetes/dataset.yaml"
done

# What must not be made is refused: the mistake, and what is said of it.
refused() {
    local said
    said=$("$helm" template shop avicuna "$1" 2>&1) && die "$1 is taken"
    grep -q "$2" <<<"$said" || die "$1 is refused with other words: $said"
}
refused --set=replicas=2 "fleet.group"
refused --set=keda.enabled=true "fleet.group"
refused --set=replica=2 "replica"
refused --set=secret= "secret"
"$helm" template shop avicuna --set=replicas=3 --set-string='config=fleet.group = "a"' >/dev/null
echo "check_helm: good"
