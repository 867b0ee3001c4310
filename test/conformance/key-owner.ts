/** The key owner's hands and the agent's client for a running key service, in this process. */
import { readFileSync } from 'node:fs';
import { clock } from '../../agent/host/clock.ts';
import { entropy } from '../../agent/host/entropy.ts';
import { makeHttp } from '../../agent/host/http.ts';
import type { KeyBackend } from '../../agent/kms/backend.ts';
import { backendFor } from '../../agent/kms/backends.ts';
import type { SendHttp } from '../../agent/ports.ts';
import { Secret } from '../../agent/secret.ts';
import type { Served } from './key-service.ts';

const KEY = 'application/vnd.ibm.kms.key+json';

export interface Owner {
  readonly backend: (key: string, apiKey?: string) => KeyBackend;
  readonly create: (resource?: object) => Promise<string>;
  readonly act: (key: string, action: string) => Promise<number>;
  readonly remove: (key: string) => Promise<number>;
  readonly admin: (path: string, body: unknown) => Promise<number>;
}

export const ownerOf = (
  served: Served,
  apiKeyFile: string,
  http: SendHttp = makeHttp({ extraCa: [], proxy: null }),
): Owner => {
  const apiKey = readFileSync(apiKeyFile, 'utf8').trim();
  const host = { http, clock, entropy };
  const send = async (method: 'POST' | 'DELETE', path: string, body: string, headers: Record<string, string>) => {
    const outcome = await http({
      method,
      url: `${served.url}${path}`,
      headers,
      body,
      timeoutMs: 5000,
      maxBodyBytes: 65_536,
    });
    if (outcome.kind === 'failure') throw new Error(`${outcome.failure}: ${outcome.detail}`);
    return outcome.response;
  };
  const authorized = async (
    path: string,
    body = '',
    method: 'POST' | 'DELETE' = 'POST',
  ): Promise<{ readonly status: number; readonly json: string }> => {
    const grant = 'grant_type=urn%3Aibm%3Aparams%3Aoauth%3Agrant-type%3Aapikey';
    const token = await send('POST', '/identity/token', `${grant}&apikey=${encodeURIComponent(apiKey)}`, {});
    const { status, body: answer } = await send(method, path, body, {
      authorization: `Bearer ${JSON.parse(token.body.toString()).access_token}`,
      'bluemix-instance': served.instance,
    });
    return { status, json: answer.toString() };
  };
  return {
    backend: (key, otherApiKey = apiKey) =>
      backendFor(
        host,
        {
          crn: `crn:v1:bluemix:public:kms:us-south:a/0:${served.instance}:key:${key}`,
          type: 'public',
          apiKey: Secret.fromText(otherApiKey),
        },
        {
          iam: served.url,
          endpoints: { [served.instance]: served.url },
          ca: [],
          proxy: null,
          pollSeconds: 60,
          onRevoked: 'grace',
        },
      ),
    create: async (resource = {}) => {
      const { json } = await authorized(
        '/api/v2/keys',
        JSON.stringify({
          metadata: { collectionType: KEY, collectionTotal: 1 },
          resources: [{ type: KEY, name: 'tests', extractable: false, ...resource }],
        }),
      );
      return String(JSON.parse(json).resources[0].id);
    },
    remove: async (key) => (await authorized(`/api/v2/keys/${key}`, '', 'DELETE')).status,
    act: async (key, action) => (await authorized(`/api/v2/keys/${key}/actions/${action}`)).status,
    admin: async (path, body) => (await send('POST', `/__triseed/${path}`, JSON.stringify(body), {})).status,
  };
};
