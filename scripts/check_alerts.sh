#!/usr/bin/env bash
# Has Prometheus read the alert rules, their tests, and every query of the dashboard: scripts/check_alerts.sh
set -euo pipefail
cd "$(dirname "$0")/.."

promtool=${AVICUNA_CACHE:-$HOME/.cache/avicuna}/prometheus/usr/bin/promtool
[ -x "$promtool" ] || promtool=promtool
command -v "$promtool" >/dev/null || {
    echo "check_alerts: promtool is missing; run scripts/setup.sh lint" >&2
    exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$promtool" check rules --lint-fatal config/prometheus/alerts.yml
"$promtool" test rules config/prometheus/alerts_test.yml
# A dashboard's queries as rules: that is where promtool looks for mistakes in queries.
python3 - >"$work/dashboard.json" <<'END'
import json

dashboard = json.load(open("config/grafana/avicuna.json", encoding="utf-8"))
queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
if len(queries) < 20:
    raise SystemExit(f"check_alerts: only {len(queries)} queries in config/grafana/avicuna.json")
for name in ("$__rate_interval", "$__range"):
    queries = [query.replace(name, "5m") for query in queries]
rules = [{"record": f"avicuna:query{index}", "expr": query} for index, query in enumerate(queries)]
print(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
END
"$promtool" check rules --lint-fatal "$work/dashboard.json"
