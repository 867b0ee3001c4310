/**
 * Audit records: one line of JSON each, journalled under the identifier `triseed-audit`. Names of fields are stable; new ones may be added
 * (docs/key-daemon.md, "Audit records"). No secret is among them, and no CRN, which names the owner's account. Pure.
 */

export const auditIdentifier = 'triseed-audit';

export type KeyAudit =
  /** A root key was used for a third seed: by boot, or after a rotation by the daemon. */
  | {
      readonly what: 'key-used';
      readonly operation: 'generate' | 'wrap' | 'unwrap' | 'rewrap';
      readonly volume: string;
      /** Its id: what the key service's own audit records name. */
      readonly rootKey: string | null;
      /** `done`, or why not. */
      readonly outcome: string;
      /** Version of the root key after a success, where the service tells. */
      readonly keyVersion: string | null;
      /** What the support of the key service asks for. */
      readonly correlationId: string | null;
    }
  /** What the key service says about a root key is another than before. */
  | {
      readonly what: 'key-state';
      readonly rootKey: string;
      readonly volumes: readonly string[];
      readonly from: string;
      readonly to: string;
      readonly correlationId: string | null;
    }
  | {
      readonly what: 'seed-stored';
      readonly volume: string;
      readonly rootKey: string | null;
      readonly outcome: string;
    };

/** The last segment of a CRN: the id of the root key. */
export const rootKeyOf = (crn: string): string => crn.slice(crn.lastIndexOf(':') + 1);

const longestText = 300;

/** One line; texts from elsewhere are cut to a bounded length. */
export const renderAudit = (record: KeyAudit): string =>
  JSON.stringify({ version: 1, ...record }, (_, value: unknown) =>
    typeof value === 'string' ? value.slice(0, longestText) : value,
  );
