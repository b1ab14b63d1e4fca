#!/usr/bin/env bash
# Runs examples/events.sql in Flink, on what a daemon has published to a broker, and compares the answer with one counted by hand:
# scripts/check_flink.sh [PROGRAM]
#
# Flink comes from Maven, 134 MB, into the cache. PROGRAM is target/debug/avicuna.
set -euo pipefail
cd "$(dirname "$0")/.."

program=$(realpath "${1:-target/debug/avicuna}")
version=1.20.1
libs=${AVICUNA_CACHE:-$HOME/.cache/avicuna}/flink/$version/libs
work=$(mktemp -d)
trap 'scripts/kafka.sh wipe --dir "$work/kafka" >/dev/null; rm -rf "$work"' EXIT

if [ ! -d "$libs" ]; then
    artifact() {
        echo "<dependency><groupId>org.apache.flink</groupId><artifactId>$1</artifactId><version>$2</version></dependency>"
    }
    {
        echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        echo '<groupId>avicuna</groupId><artifactId>flink</artifactId><version>1</version><dependencies>'
        for name in table-api-java-bridge table-planner-loader table-runtime clients json connector-base; do
            artifact "flink-$name" "$version"
        done
        artifact flink-connector-kafka 3.4.0-1.20
        echo '</dependencies></project>'
    } >"$work/pom.xml"
    mvn -B -q -f "$work/pom.xml" --strict-checksums org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$work/libs"
    mkdir -p "$(dirname "$libs")"
    mv "$work/libs" "$libs"
fi

cat >"$work/Run.java" <<'JAVA'
import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;

public final class Run {
    public static void main(String[] arguments) throws Exception {
        var flink = TableEnvironment.create(EnvironmentSettings.newInstance().inBatchMode().build());
        for (String statement : Files.readString(Path.of(arguments[0])).split(";\\s*\n")) {
            var result = flink.executeSql(statement);
            if (statement.contains("SELECT stream_id")) {
                result.collect().forEachRemaining(row -> System.out.printf("%s\t%s\t%s\t%.2f%n", row.getField(0), row.getField(1), row.getField(2), row.getField(3)));
            }
        }
    }
}
JAVA

port=19191
scripts/kafka.sh start --dir "$work/kafka" --port $port --controller-port $((port + 1)) >/dev/null
cat >"$work/avicuna.toml" <<TOML
model.path = "assets/models/avicuna-small"
outbox.path = "$work/outbox.redb"
control.listen = "off"
sink.kafka.brokers = "127.0.0.1:$port"
[[stream]]
id = "scene"
uri = "assets/demo/scene.mp4"
min_score = 0.0
hop = "5s"
TOML
"$program" run --config "$work/avicuna.toml" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }

# Until what is there now, not for ever.
sed "s/localhost:9092/127.0.0.1:$port/; s/'format' = 'json'/'scan.bounded.mode' = 'latest-offset', 'format' = 'json'/" examples/events.sql >"$work/events.sql"
opens=(--add-opens=java.base/java.util=ALL-UNNAMED --add-opens=java.base/java.lang=ALL-UNNAMED --add-opens=java.base/java.time=ALL-UNNAMED)
java "${opens[@]}" -cp "$libs/*" "$work/Run.java" "$work/events.sql" 2>"$work/flink.log" | sort >"$work/flink" || { tail -40 "$work/flink.log" >&2; exit 1; }

kcat -C -q -e -b "127.0.0.1:$port" -t avicuna.events -o beginning | python3 -c '
import collections, json, sys
latest = {}
for record in map(json.loads, sys.stdin):
    if record["revision"] >= latest.get(record["event_id"], record)["revision"]:
        latest[record["event_id"]] = record
sums = collections.defaultdict(list)
for record in latest.values():
    if record["phase"] == "ended":
        sums[record["stream_id"], record["label"]].append(record["end"]["stream"] - record["start"]["stream"])
for (stream, label), seconds in sums.items():
    print(stream, label, len(seconds), f"{sum(seconds):.2f}", sep="\t")
' | sort >"$work/counted"
[ -s "$work/counted" ] || { echo "check_flink: nothing was published" >&2; exit 1; }
diff "$work/counted" "$work/flink" || { tail -40 "$work/flink.log" >&2; echo "check_flink: Flink counts otherwise" >&2; exit 1; }
echo "check_flink: $(wc -l <"$work/flink") rows, the same as counted by hand"
