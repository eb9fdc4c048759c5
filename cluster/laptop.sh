#!/usr/bin/env bash
# A Ray cluster of two nodes on one machine, with token authentication, on loopback: to try what a real cluster does.
#   cluster/laptop.sh start            # head and one more node; prints what to export
#   cluster/laptop.sh status
#   cluster/laptop.sh stop
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ray="$here/.venv/bin/ray"
port=${HEMOMETRIC_PORT:-6399}
dashboard=${HEMOMETRIC_DASHBOARD_PORT:-8275}
cpus=${HEMOMETRIC_CPUS_PER_NODE:-2}
home=${HEMOMETRIC_CLUSTER_HOME:-${XDG_RUNTIME_DIR:-${TMPDIR:-/var/tmp}}/hm-$(id -u)-$port}

[ -x "$ray" ] || { echo "no Ray in $here/.venv; run: make install" >&2; exit 5; }
# A job runs the `python` that the head finds first.
export PATH="$here/.venv/bin:$PATH"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$home/token" RAY_USAGE_STATS_ENABLED=0

start() {
    if [ -f "$home/token" ]; then echo "a cluster is already there; stop it first: $0 stop" >&2; exit 5; fi
    mkdir -p "$home"
    # Stopping removes the folder, so it must hold nothing else.
    [ -z "$(ls -A "$home")" ] || { echo "HEMOMETRIC_CLUSTER_HOME: $home is not empty; choose another" >&2; exit 5; }
    chmod 700 "$home"
    # The token is the key to the machine: made unreadable for others before a byte is in it.
    (umask 077 && "$here/.venv/bin/python" -c 'import secrets; print(secrets.token_hex(32), end="")' > "$home/token")
    "$ray" start --head --node-ip-address=127.0.0.1 --port="$port" --dashboard-host=127.0.0.1 \
        --dashboard-port="$dashboard" --dashboard-agent-listen-port="$((dashboard + 1))" \
        --num-cpus="$cpus" --object-store-memory=536870912 \
        --temp-dir="$home/ray" --disable-usage-stats > "$home/head.log" 2>&1 || { tail -n 20 "$home/head.log" >&2; exit 6; }
    "$ray" start --address="127.0.0.1:$port" --node-ip-address=127.0.0.1 --num-cpus="$cpus" \
        --dashboard-agent-listen-port="$((dashboard + 2))" --object-store-memory=268435456 \
        --disable-usage-stats > "$home/node.log" 2>&1 || { tail -n 20 "$home/node.log" >&2; exit 6; }
    cat <<TEXT
Two nodes with $cpus CPUs each are up. In the shell that submits:

    export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$home/token
    .venv/bin/hemometric submit pretrain --config configs/pretrain/laptop.yaml \\
        corpus=$PWD/corpus out=$PWD/runs/pretrain --address http://127.0.0.1:$dashboard
TEXT
}

stop() {
    [ -f "$home/token" ] || { echo "no cluster is there"; exit 0; }
    # Only the processes of this cluster, which name its folder: others on the machine are not ours to stop.
    pkill -TERM -f -- "$home/ray/" || true
    # A raylet without its head takes ten seconds to give up, and has nothing to save.
    for _ in $(seq 10); do pgrep -f -- "$home/ray/" > /dev/null || break; sleep 0.2; done
    pkill -KILL -f -- "$home/ray/" || true
    rm -rf "$home"
    echo "stopped"
}

case "${1:-}" in
    start) start ;;
    stop) stop ;;
    status) "$ray" status --address="127.0.0.1:$port" ;;
    *) sed -n '2,5p' "$0" | sed 's/^# \{0,1\}//'; exit 2 ;;
esac
