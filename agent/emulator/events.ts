/**
 * Audit events in the fields of IBM Cloud Activity Tracker, which follow CADF (DMTF DSP0262). Sources: IBM Cloud
 * documentation, Activity Tracker "Event fields" and Key Protect "Activity tracking events". Pure; no event holds a body,
 * a query or a token.
 */
import { crnOf, type Naming } from './key-record.ts';
import { phraseOf } from './reasons.ts';
import type { AuditData } from './result.ts';

export interface AuditFacts {
  readonly atMs: number;
  readonly naming: Naming;
  readonly instance: string;
  /** Without the service's prefix, such as `secrets.wrap`. */
  readonly event: string;
  readonly status: number;
  /** Reason code of a refusal. */
  readonly code: string | null;
  /** IAM id; null when nobody was recognized. The service itself for calendar work. */
  readonly caller: string | null;
  readonly address: string | null;
  readonly agent: string | null;
  /** Path of the request without its query. */
  readonly path: string | null;
  readonly key: { readonly id: string; readonly name: string; readonly keyRing: string } | null;
  readonly correlationId: string;
  readonly audit: AuditData;
}

const CRITICAL_ACTIONS = new Set(['secrets.delete', 'secrets.purge', 'registrations.delete']);
const WARNING_ACTIONS = new Set([
  'secrets.rotate',
  'secrets.restore',
  'secrets.enable',
  'secrets.disable',
  'secrets.setkeyfordeletion',
  'secrets.unsetkeyfordeletion',
  'policies.write',
  'instance-policies.write',
]);
const CRITICAL_STATUS: readonly number[] = [401, 403, 503, 507];
const WARNING_STATUS: readonly number[] = [400, 409, 424, 502, 504, 505];

const severityOf = (event: string, status: number): 'normal' | 'warning' | 'critical' => {
  if (CRITICAL_ACTIONS.has(event) || CRITICAL_STATUS.includes(status)) return 'critical';
  return WARNING_ACTIONS.has(event) || WARNING_STATUS.includes(status) ? 'warning' : 'normal';
};

/** Reading and using keys is data traffic, the rest is management. */
const DATA_EVENT = /\.(wrap|unwrap|rewrap|read|list|head)$/;

const OBJECTS: Readonly<Record<string, string>> = {
  secrets: 'secret',
  'secrets-metadata': 'secret metadata',
  'secrets-key-versions': 'secret key versions',
  'secrets-alias': 'secret alias',
  'secrets-event': 'secret event',
  'secrets-with-policy-overrides': 'secret with policy overrides',
  'key-rings': 'key ring',
  policies: 'policy',
  'instance-policies': 'instance policy',
  'import-token': 'import token',
  registrations: 'registration',
};

/** `2020-05-13T19:12:13.32+0000` */
const eventTime = (ms: number): string => `${new Date(ms).toISOString().slice(0, 22)}+0000`;

/** `a.b` in the name makes a member within a member. */
const nested = (data: AuditData): Readonly<Record<string, unknown>> => {
  const tree: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(data)) {
    const [outer = '', inner] = name.split('.');
    if (inner === undefined) tree[outer] = value;
    else tree[outer] = { ...(tree[outer] as object | undefined), [inner]: value };
  }
  return tree;
};

const PRINTABLE = /[^\x20-\x7e]/g;

const initiatorOf = (facts: AuditFacts): object => {
  const { caller, address, agent } = facts;
  const id = caller ?? 'unknown';
  return {
    id,
    name: id,
    authnId: id,
    authnName: id,
    typeURI: 'service/security/account/serviceid',
    credential: { type: 'apikey' },
    ...(address === null
      ? {}
      : {
          host: {
            address,
            addressType: address.includes(':') ? 'IPv6' : 'IPv4',
            ...(agent === null ? {} : { agent: agent.replace(PRINTABLE, '?').slice(0, 120) }),
          },
        }),
  };
};

/** One event as a line of JSON. */
export const auditEvent = (facts: AuditFacts): string => {
  const { event, status, key, naming, instance } = facts;
  const isDone = status < 400;
  const isHpcs = naming.service === 'hs-crypto';
  const [object = '', verb = ''] = event.split('.');
  const product = isHpcs ? 'Hyper Protect Crypto Services' : 'Key Protect';
  const message = `${product}: ${verb} ${OBJECTS[object] ?? object}${isDone ? '' : ' -failure'}`;
  const instanceCrn = crnOf(naming, instance, '', '');
  return JSON.stringify({
    eventTime: eventTime(facts.atMs),
    action: `${isHpcs ? 'hs-crypto' : 'kms'}.${event}`,
    outcome: isDone ? 'success' : 'failure',
    message,
    severity: severityOf(event, status),
    initiator: initiatorOf(facts),
    target: {
      id: key === null ? instanceCrn : crnOf(naming, instance, key.id),
      name: key?.name ?? '',
      typeURI: `kms/${object}`,
    },
    observer: { name: 'ActivityTracker' },
    reason: {
      reasonCode: status,
      reasonType: phraseOf(status),
      ...(facts.code === null ? {} : { reasonForFailure: facts.code }),
    },
    requestData: {
      ...(facts.path === null ? {} : { requestURI: facts.path.slice(0, 500) }),
      instanceID: instance,
      ...(key === null ? {} : { keyRingId: key.keyRing }),
    },
    responseData: nested(facts.audit),
    dataEvent: DATA_EVENT.test(event),
    saveServiceCopy: true,
    correlationId: facts.correlationId,
    logSourceCRN: instanceCrn,
  });
};
