#!/usr/bin/env bash
# A single Apache Kafka broker (KRaft) for tests, the demo and benchmarks. Run without arguments for help.
set -euo pipefail

version=4.4.0
# Of kafka_2.13-$version.jar. Maven checks every file it fetches; this pins the broker itself.
main_jar_sha256=76d3314f873571677ff98620ab9a431e508e3687f921a3df4f70d692a970475e
slf4j_binding=2.25.5

cache=${AVICUNA_CACHE:-$HOME/.cache/avicuna}/kafka
libs=$cache/$version/libs

usage() {
    cat <<HELP
usage: scripts/kafka.sh COMMAND [--dir DIR] [--port PORT] [--controller-port PORT] [--cluster-id ID] [--set KEY=VALUE]...

  fetch    fetch Kafka $version and what it needs with Maven, into $libs
  start    start a broker on 127.0.0.1:PORT (9092); its files go to DIR ($cache/broker). Waits until it answers.
           A broker that already runs there is left alone. --set adds lines to its server.properties. Brokers of one
           cluster share a --cluster-id, 16 bytes in URL-safe base64
  stop     stop the broker of DIR: politely, then not
  wipe     stop it and delete DIR
  status   say whether the broker of DIR runs; exit status 0 when it does, 3 when not
HELP
}

die() {
    echo "kafka.sh: $*" >&2
    exit 1
}

need_java() {
    command -v java >/dev/null || die "java is missing; Kafka $version needs a Java runtime of version 17 or later (Debian: apt install default-jdk-headless)"
    local major
    major=$(java -version 2>&1 | sed -n '1s/.*version "\([0-9]*\).*/\1/p')
    [ "${major:-0}" -ge 17 ] || die "java is version ${major:-unknown}; Kafka $version needs 17 or later"
}

is_fetched() {
    [ -f "$libs/kafka_2.13-$version.jar" ] && [ -f "$libs/.complete" ]
}

fetch() {
    if is_fetched; then
        echo "Kafka $version is in $libs"
        return
    fi
    command -v mvn >/dev/null || die "mvn is missing; install Maven (Debian: apt install maven) to fetch Kafka"
    need_java
    local work
    work=$(mktemp -d)
    trap 'rm -rf "$work"' RETURN
    cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>avicuna</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>$version</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>$slf4j_binding</version>
    </dependency>
  </dependencies>
</project>
POM
    echo "fetching Kafka $version (45 MB) ..."
    mvn -B -q -f "$work/pom.xml" --strict-checksums \
        org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$work/libs" \
        || die "Maven could not fetch Kafka; see above. Behind a proxy or mirror, set it in ~/.m2/settings.xml"
    echo "$main_jar_sha256  $work/libs/kafka_2.13-$version.jar" | sha256sum --check --quiet \
        || die "kafka_2.13-$version.jar is not the file this script was written for"
    mkdir -p "$cache/$version"
    rm -rf "$libs"
    mv "$work/libs" "$libs"
    touch "$libs/.complete"
    echo "Kafka $version is in $libs"
}

# The pid of our broker; fails when it does not run. A pid that now belongs to another process does not count.
running() {
    local pid
    pid=$(cat "$dir/pid" 2>/dev/null) || return 1
    [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null || return 1
    tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$dir/server.properties" || return 1
    echo "$pid"
}

accepts() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

configure() {
    cat >"$dir/server.properties" <<CONFIG
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs=$dir/data
num.partitions=3
auto.create.topics.enable=true
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.retention.hours=24
CONFIG
    [ ${#settings[@]} -eq 0 ] || printf '%s\n' "${settings[@]}" >>"$dir/server.properties"
    cat >"$dir/log4j2.properties" <<'LOGGING'
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c{1}: %m%n
rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
LOGGING
}

kafka_java() {
    java -Xms128m -Xmx512m -XX:+UseSerialGC -Dlog4j2.configurationFile="$dir/log4j2.properties" -cp "$libs/*" "$@"
}

start() {
    local pid
    if pid=$(running); then
        echo "already running on 127.0.0.1:$port, pid $pid"
        return
    fi
    need_java
    is_fetched || fetch
    mkdir -p "$dir"
    # Left by a broker that was killed: it says nothing about the new one.
    rm -f "$dir/pid"
    ! accepts "$port" || die "port $port is taken by another program; choose one with --port"
    configure
    if [ ! -f "$dir/data/meta.properties" ]; then
        local cluster=$cluster_id
        [ -n "$cluster" ] || cluster=A$(head -c 32 /dev/urandom | base64 | tr -dc 'A-Za-z0-9' | head -c 20)A
        # A cluster id is 16 bytes in URL-safe base64.
        kafka_java kafka.tools.StorageTool format --cluster-id "$cluster" --config "$dir/server.properties" \
            >"$dir/format.log" 2>&1 || { tail -n 15 "$dir/format.log" >&2; die "the storage in $dir cannot be formatted"; }
    fi
    : >"$dir/broker.log"
    setsid nohup java -Xms128m -Xmx512m -XX:+UseSerialGC -Dlog4j2.configurationFile="$dir/log4j2.properties" \
        -cp "$libs/*" kafka.Kafka "$dir/server.properties" >"$dir/broker.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid" >"$dir/pid"
    local waited=0
    until grep -q "Kafka Server started" "$dir/broker.log" && accepts "$port"; do
        if ! kill -0 "$pid" 2>/dev/null; then
            tail -n 30 "$dir/broker.log" >&2
            die "the broker ended while starting; its log is $dir/broker.log"
        fi
        if [ "$waited" -ge 1800 ]; then
            stop >/dev/null
            tail -n 30 "$dir/broker.log" >&2
            die "the broker did not answer within 180 s; its log is $dir/broker.log"
        fi
        sleep 0.1
        waited=$((waited + 1))
    done
    echo "running on 127.0.0.1:$port, pid $pid"
}

stop() {
    local pid
    if ! pid=$(running); then
        rm -f "$dir/pid"
        echo "not running"
        return
    fi
    kill -TERM "$pid"
    for _ in $(seq 200); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    if kill -KILL "$pid" 2>/dev/null; then
        echo "it did not stop within 20 s and was killed"
        while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    fi
    rm -f "$dir/pid"
    echo "stopped"
}

wipe() {
    [ -e "$dir" ] || { echo "nothing in $dir"; return; }
    # Never delete a folder that is not a broker's.
    [ -f "$dir/server.properties" ] || die "$dir holds no broker; not deleting it"
    stop
    rm -rf "$dir"
    echo "deleted $dir"
}

status() {
    local pid
    if pid=$(running); then
        echo "running on $(sed -n 's,^advertised.listeners=PLAINTEXT://,,p' "$dir/server.properties"), pid $pid"
    else
        echo "not running"
        exit 3
    fi
}

command=${1:-}
[ $# -eq 0 ] || shift
dir=$cache/broker
port=9092
controller_port=
cluster_id=
settings=()
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || die "$1 needs a value"
    case $1 in
        --dir) dir=$2 ;;
        --port) port=$2 ;;
        --controller-port) controller_port=$2 ;;
        --cluster-id) cluster_id=$2 ;;
        --set) settings+=("$2") ;;
        *) usage >&2; exit 2 ;;
    esac
    shift 2
done
dir=$(realpath -m "$dir")
controller_port=${controller_port:-$((port + 1))}

case $command in
    fetch) fetch ;;
    start) start ;;
    stop) stop ;;
    wipe) wipe ;;
    status) status ;;
    *) usage >&2; exit 2 ;;
esac
