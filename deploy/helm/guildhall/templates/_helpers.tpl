{{- define "guildhall.name" -}}
{{- if contains "guildhall" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-guildhall" (.Release.Name | trunc 30 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "guildhall.selector" -}}
app.kubernetes.io/name: guildhall
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "guildhall.labels" -}}
{{ include "guildhall.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* What every pod has: no rights, no token, no writable root. */}}
{{- define "guildhall.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: { type: RuntimeDefault }
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "guildhall.container" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* Exactly one source of models. */}}
{{- define "guildhall.models" -}}
{{- $sources := list }}
{{- if .Values.models.persistentVolumeClaim }}{{ $sources = append $sources "persistentVolumeClaim" }}{{ end }}
{{- if .Values.models.image.reference }}{{ $sources = append $sources "image" }}{{ end }}
{{- if .Values.models.objectStore.image }}{{ $sources = append $sources "objectStore" }}{{ end }}
{{- if ne (len $sources) 1 }}
{{- fail (printf "models: give exactly one of persistentVolumeClaim, image.reference and objectStore.image; given are %d: %s" (len $sources) (join ", " $sources)) }}
{{- end }}
{{- first $sources }}
{{- end }}

{{- define "guildhall.initContainers" -}}
{{- $source := include "guildhall.models" . }}
{{- if ne $source "persistentVolumeClaim" }}
initContainers:
  - name: models
    {{- if eq $source "image" }}
    image: {{ .Values.models.image.reference | quote }}
    command: [cp, -R, {{ printf "%s/." (trimSuffix "/" .Values.models.image.path) | quote }}, /models]
    {{- else }}
    {{- with .Values.models.objectStore }}
    image: {{ .image | quote }}
    {{- with .command }}
    command: {{ toJson . }}
    {{- end }}
    {{- with .args }}
    args: {{ toJson . }}
    {{- end }}
    {{- with .secret }}
    envFrom:
      - secretRef: { name: {{ . }} }
    {{- end }}
    {{- end }}
    {{- end }}
    securityContext:
      {{- include "guildhall.container" . | nindent 6 }}
    volumeMounts:
      - { name: models, mountPath: /models }
      - { name: tmp, mountPath: /tmp }
{{- end }}
{{- end }}

{{- define "guildhall.volumes" -}}
- name: tmp
  emptyDir: {}
- name: models
  {{- if eq (include "guildhall.models" .) "persistentVolumeClaim" }}
  persistentVolumeClaim: { claimName: {{ .Values.models.persistentVolumeClaim }}, readOnly: true }
  {{- else }}
  emptyDir: {}
  {{- end }}
{{- with .Values.tls.internal.secret }}
- name: internal-tls
  secret: { secretName: {{ . }}, defaultMode: 0440 }
{{- end }}
{{- end }}

{{- define "guildhall.mounts" -}}
- { name: tmp, mountPath: /tmp }
- { name: models, mountPath: /models, readOnly: true }
{{- if .Values.tls.internal.secret }}
- { name: internal-tls, mountPath: /tls/internal, readOnly: true }
{{- end }}
{{- end }}

{{/*
Probes of a dict with port, tls (mount path or empty), mutual (bool) and ca. The kubelet's own gRPC probe speaks no TLS;
the command asks the same question.
*/}}
{{- define "guildhall.probe" -}}
{{- if .tls -}}
exec:
  command:
    - java
    - "@/opt/guildhall/jvm.options"
    - -XX:TieredStopAtLevel=1
    - -XX:+UseSerialGC
    - -Xmx64m
    - "@/opt/guildhall/image.options"
    - dev.guildhall.cli.Guildhall
    - health
    - --target=localhost:{{ .port }}
    - --ca={{ .tls }}/ca.crt
    {{- if .mutual }}
    - --cert={{ .tls }}/tls.crt
    - --key={{ .tls }}/tls.key
    {{- end }}
timeoutSeconds: 30
{{- else -}}
grpc: { port: {{ .port }} }
timeoutSeconds: 2
{{- end }}
{{- end }}

{{/* A wrong answer means "not ready"; only a silent port means "start it again". */}}
{{- define "guildhall.probes" -}}
startupProbe:
  tcpSocket: { port: grpc }
  periodSeconds: 1
  failureThreshold: 600
readinessProbe:
  {{- include "guildhall.probe" . | nindent 2 }}
  periodSeconds: {{ ternary 15 5 (not (empty .tls)) }}
  failureThreshold: 2
livenessProbe:
  tcpSocket: { port: grpc }
  periodSeconds: 10
  failureThreshold: 6
{{- end }}

{{- define "guildhall.env" -}}
{{- range $name, $value := . }}
- { name: {{ $name }}, value: {{ $value | quote }} }
{{- end }}
{{- end }}
