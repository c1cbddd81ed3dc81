{{/* Name of this installation; short enough that every suffix below stays within 63 characters. */}}
{{- define "towpath.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Name of a thing that has no namespace: with the release's namespace in it, so that two releases do not meet. */}}
{{- define "towpath.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "towpath.fullname" .) -}}
{{- end -}}

{{- define "towpath.operatorName" -}}
{{- include "towpath.fullname" . }}-operator
{{- end -}}

{{- define "towpath.webhookName" -}}
{{- include "towpath.operatorName" . }}-webhook
{{- end -}}

{{- define "towpath.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "towpath.operatorName" .) -}}
{{- end -}}

{{/* The namespaces of runs, as a YAML list. */}}
{{- define "towpath.runnerNamespaces" -}}
{{- .Values.runnerNamespaces | default (list .Release.Namespace) | toYaml -}}
{{- end -}}

{{/* Labels by which things find each other. They never change: selectors are immutable. */}}
{{- define "towpath.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "towpath.labels" -}}
{{ include "towpath.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* What the operator may do where runs are: exactly the calls that it makes. */}}
{{- define "towpath.operatorRules" -}}
- apiGroups: [towpath.dev]
  resources: [flows, deployments, flowruns, queues, concurrencylimits, automations]
  verbs: [get, list, watch]
# The runs of schedules, and those that have ended and are not kept any longer.
- apiGroups: [towpath.dev]
  resources: [flowruns]
  verbs: [create, delete]
- apiGroups: [towpath.dev]
  resources:
    - flows/status
    - deployments/status
    - flowruns/status
    - queues/status
    - concurrencylimits/status
    - automations/status
  verbs: [patch]
# What automations ask for: runs are cancelled or suspended, Deployments are suspended.
- apiGroups: [towpath.dev]
  resources: [flowruns, deployments]
  verbs: [patch]
{{- with .Values.automations.secretNames }}
# URLs and keys of automations, which are secret.
- apiGroups: [""]
  resources: [secrets]
  resourceNames: {{ toJson . }}
  verbs: [get]
{{- end }}
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
# What a run's first attempt was made of, for its later ones.
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, delete] # delete: those of runs with cancelMode Now
# list: why a Job cannot make its pod, or a node not prepare it, is said nowhere else.
- apiGroups: [""]
  resources: [events]
  verbs: [create, list]
{{- if .Values.rbac.ownerReferencesPermissionEnforcement }}
- apiGroups: [towpath.dev]
  resources: [flowruns/finalizers]
  verbs: [update]
{{- end }}
{{- end -}}
