/** Names of the fields of a Pod and its parts (Kubernetes API reference, "Pod v1 core"), to tell misspelt ones. */

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

export const resourceKeys = words('apiVersion kind metadata spec status data binaryData immutable');

export const podKeys = words(`
  activeDeadlineSeconds affinity automountServiceAccountToken containers dnsConfig dnsPolicy enableServiceLinks
  ephemeralContainers hostAliases hostIPC hostNetwork hostPID hostUsers hostname imagePullSecrets initContainers
  nodeName nodeSelector os overhead preemptionPolicy priority priorityClassName readinessGates resourceClaims
  resources restartPolicy runtimeClassName schedulerName schedulingGates securityContext serviceAccount
  serviceAccountName setHostnameAsFQDN shareProcessNamespace subdomain terminationGracePeriodSeconds tolerations
  topologySpreadConstraints volumes`);

export const containerKeys = words(`
  args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe resizePolicy
  resources restartPolicy securityContext startupProbe stdin stdinOnce terminationMessagePath
  terminationMessagePolicy tty volumeDevices volumeMounts workingDir`);

export const portKeys = words('containerPort hostIP hostPort name protocol');
export const mountKeys = words('mountPath mountPropagation name readOnly recursiveReadOnly subPath subPathExpr');
export const variableKeys = words('name value valueFrom');
export const variablesSourceKeys = words('configMapRef prefix secretRef');
