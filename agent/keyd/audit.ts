/**
 * Audit records: one line of JSON each, journalled under the identifier `triseed-audit`. Names of fields are stable; new ones may be added
 * (docs/key-daemon.md, "Audit records"). No secret is among them. Pure.
 */

export const auditIdentifier = 'triseed-audit';

export type KeyAudit =
  /** A root key was used for a third seed: by boot, or after a rotation by the daemon. */
  | {
      readonly what: 'key-used';
      readonly operation: 'generate' | 'wrap' | 'unwrap' | 'rewrap';
      readonly volume: string;
      readonly crn: string | null;
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
      readonly crn: string;
      readonly volumes: readonly string[];
      readonly from: string;
      readonly to: string;
      readonly correlationId: string | null;
    }
  | { readonly what: 'seed-stored'; readonly volume: string; readonly crn: string | null; readonly outcome: string };

const longestText = 300;

/** One line; texts from elsewhere are cut to a bounded length. */
export const renderAudit = (record: KeyAudit): string =>
  JSON.stringify({ version: 1, ...record }, (_, value: unknown) =>
    typeof value === 'string' ? value.slice(0, longestText) : value,
  );
