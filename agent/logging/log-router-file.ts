/** What the forwarder to IBM Cloud Logs is handed: written at boot, read through a systemd credential. */
import { AgentError } from '../errors.ts';
import { Secret } from '../secret.ts';
import { array, count, exact, matching, one, orNull, read, text } from '../volumes/exact-json.ts';
import type { LogRouterSettings } from './settings.ts';

/** In bytes: room for the PEM files of `kms.ca`. */
export const maxLogRouterBytes = 1024 * 1024;

/** How the forwarder reaches token service and log service; it reads no configuration of its own. */
export interface Ways {
  readonly iam: string;
  /** PEM texts. */
  readonly ca: readonly string[];
  readonly proxy: string | null;
}

export interface LogRouterHandOver {
  readonly settings: LogRouterSettings;
  readonly ways: Ways;
}

/** Holds the API key: mode 0600, in memory. */
export const renderLogRouter = ({ settings, ways }: LogRouterHandOver): Secret => {
  const { hostname, port, tags } = settings;
  const apiKey = settings.apiKey.expose((bytes) => bytes.toString('utf8'));
  return Secret.fromText(JSON.stringify({ version: 1, hostname, port, tags, apiKey, ...ways }));
};

const pem = matching(/^[\t\n\r -~]{1,262144}$/, 'a PEM text');
const record = exact({
  version: one(1),
  hostname: text,
  port: count,
  tags: array(text),
  apiKey: text,
  iam: text,
  ca: array(pem),
  proxy: orNull(text),
});

/** Wipes `bytes`. Throws LOG_HAND_OVER_INVALID. */
export const parseLogRouter = (bytes: Buffer): LogRouterHandOver => {
  const parsed = read(record, bytes.toString('utf8'));
  bytes.fill(0);
  if ('wrong' in parsed) throw new AgentError('LOG_HAND_OVER_INVALID', { reason: parsed.wrong });
  const { hostname, port, tags, apiKey, iam, ca, proxy } = parsed;
  const settings = { kind: 'logRouter', hostname, port, tags, apiKey: Secret.fromText(apiKey) } as const;
  return { settings, ways: { iam, ca, proxy } };
};
