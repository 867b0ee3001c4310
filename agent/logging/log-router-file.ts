/** What the forwarder to IBM Cloud Logs is handed: written at boot, read through a systemd credential. */
import { AgentError } from '../errors.ts';
import { Secret } from '../secret.ts';
import { array, count, exact, one, read, text } from '../volumes/exact-json.ts';
import type { LogRouterSettings } from './settings.ts';

/** In bytes; an API key is far shorter. */
export const maxLogRouterBytes = 64 * 1024;

/** Holds the API key: mode 0600, in memory. */
export const renderLogRouter = ({ hostname, port, tags, apiKey }: LogRouterSettings): Secret =>
  Secret.fromText(
    JSON.stringify({ version: 1, hostname, port, tags, apiKey: apiKey.expose((bytes) => bytes.toString('utf8')) }),
  );

const record = exact({ version: one(1), hostname: text, port: count, tags: array(text), apiKey: text });

/** Wipes `bytes`. Throws LOG_HAND_OVER_INVALID. */
export const parseLogRouter = (bytes: Buffer): LogRouterSettings => {
  const parsed = read(record, bytes.toString('utf8'));
  bytes.fill(0);
  if ('wrong' in parsed) throw new AgentError('LOG_HAND_OVER_INVALID', { reason: parsed.wrong });
  const { hostname, port, tags, apiKey } = parsed;
  return { kind: 'logRouter', hostname, port, tags, apiKey: Secret.fromText(apiKey) };
};
