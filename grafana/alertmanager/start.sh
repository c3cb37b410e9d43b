#!/bin/sh
# Alertmanager reads no environment: this writes its configuration from alertmanager.yml beside it and two variables.
set -eu
umask 077
config=${ALERT_CONFIG:-/tmp/alertmanager.yml}
cp "$(dirname "$0")/alertmanager.yml" "$config"
if [ -n "${ALERT_SLACK_URL:-}" ]; then
  cat >>"$config" <<SLACK
    slack_configs:
      - api_url: '$ALERT_SLACK_URL'
        channel: '${ALERT_SLACK_CHANNEL:-#tollgate}'
        send_resolved: true
        title: '{{ .CommonLabels.alertname }}'
        text: '{{ range .Alerts }}{{ .Annotations.summary }}{{ "\n" }}{{ end }}'
SLACK
fi
if [ -n "${ALERT_WEBHOOK_URL:-}" ]; then
  cat >>"$config" <<WEBHOOK
    webhook_configs:
      - url: '$ALERT_WEBHOOK_URL'
        send_resolved: true
WEBHOOK
fi
exec "${ALERTMANAGER:-/bin/alertmanager}" --config.file="$config" "$@"
