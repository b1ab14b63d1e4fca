{{- define "avicuna.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}
{{- end }}

{{- define "avicuna.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "avicuna.labels" -}}
{{ include "avicuna.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* Several daemons with the same streams would tell everything several times. */ -}}
{{- define "avicuna.check" -}}
{{- $shared := regexMatch "(?m)^\\s*(fleet\\.)?group\\s*=" .Values.config -}}
{{- $several := or .Values.keda.enabled (gt (int .Values.replicas) 1) -}}
{{- if and $several (not $shared) -}}
{{- fail "replicas above 1 and keda.enabled want fleet.group in config: otherwise each daemon tells everything" -}}
{{- end -}}
{{- end }}
