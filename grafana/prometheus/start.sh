#!/bin/sh
# Prometheus reads the scrape key from a file only; the environment has it, and /tmp is in memory.
set -eu
umask 077
printf %s "$TOLLGATE_METRICS_KEY" >/tmp/metrics-key
exec /bin/prometheus --config.file=/etc/prometheus/prometheus.yml --storage.tsdb.path=/prometheus \
  --storage.tsdb.retention.time=90d "$@"
