{{- define "guildhall.name" -}}
{{- if contains "guildhall" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-guildhall" (.Release.Name | trunc 30 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "guildhall.selector" -}}
app.kubernetes.io/name: guildhall
app.kubernetes.io/instance: {{ .Release.Name | quote }}
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
{{- fail (printf "models: say where the model repository comes from by exactly one of models.persistentVolumeClaim, models.image.reference and models.objectStore.image (docs/kubernetes.md); given: %s" (join ", " $sources | default "none")) }}
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
    command: [cp, -R, {{ printf "%s/." (trimSuffix "/" .Values.models.image.path) | quote }}, /copy]
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
    resources: {{ toJson .Values.models.resources }}
    securityContext:
      {{- include "guildhall.container" . | nindent 6 }}
    volumeMounts:
      # A volume hides what an image has at its path.
      - { name: models, mountPath: {{ ternary "/copy" "/models" (eq $source "image") }} }
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
Probes of a dict with healthPort and startupSeconds. A wrong answer means "not ready"; only a silent port means "start it
again". The health port speaks no TLS, as the kubelet.
*/}}
{{- define "guildhall.probes" -}}
startupProbe:
  tcpSocket: { port: grpc }
  periodSeconds: 1
  failureThreshold: {{ .startupSeconds }}
readinessProbe:
  grpc: { port: {{ .healthPort }} }
  timeoutSeconds: 2
  periodSeconds: 5
  failureThreshold: 2
livenessProbe:
  tcpSocket: { port: grpc }
  periodSeconds: 10
  failureThreshold: 6
{{- end }}

{{/*
Environment of a dict with resources, jvmOptions and env. A JVM knows a container's CPU limit but not its request, and
without a limit would start threads for every processor of the node.
*/}}
{{- define "guildhall.env" -}}
{{- $requested := and (not (empty (dig "requests" "cpu" "" .resources))) (empty (dig "limits" "cpu" "" .resources)) }}
{{- if $requested }}
- name: PROCESSORS
  # Rounded up.
  valueFrom: { resourceFieldRef: { resource: requests.cpu, divisor: "1" } }
{{- end }}
{{- with printf "%s %s" (ternary "-XX:ActiveProcessorCount=$(PROCESSORS)" "" $requested) .jvmOptions | trim }}
- { name: JDK_JAVA_OPTIONS, value: {{ quote . }} }
{{- end }}
{{- range $name, $value := .env }}
{{- /* Numbers of a values file are floating-point: a megabyte would be 1.048576e+06. */}}
{{- if and (kindIs "float64" $value) (eq $value (floor $value)) }}{{ $value = int64 $value }}{{ end }}
- { name: {{ $name }}, value: {{ $value | quote }} }
{{- end }}
{{- end }}

{{/* Of a dict with name and autoscaling; a schema cannot compare two values. */}}
{{- define "guildhall.checkReplicas" -}}
{{- if gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas) }}
{{- fail (printf "%s.autoscaling: minReplicas is %d; allowed is at most maxReplicas, %d" .name (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas)) }}
{{- end }}
{{- end }}
