/** What the privileged side of the store verb believes, and what the daemon makes of its answers. */
import t from 'tap';
import type { HandOver } from '../../../agent/keyd/hand-over.ts';
import { parseStoreAnswer, renderStoreAnswer, renderStoreRequest } from '../../../agent/keyd/store-request.ts';
import { askToStore, storeAsAsked } from '../../../agent/keyd/store-verb.ts';
import type { Host } from '../../../agent/ports.ts';
import type { AskSocket } from '../../../agent/service-ports.ts';
import { daemonHost, handedVolume, handOver } from './daemon-host.ts';

const volume = handedVolume();
const request = { volume: volume.key, crn: volume.crn, wrapped: 'bmV3', keyVersion: 'v2' };
const asked = (change: object = {}): Buffer => Buffer.from(JSON.stringify({ version: 1, ...request, ...change }));

/** A host whose disks can only be told apart by being opened. */
const hostWithDisks = (): { readonly host: Host; readonly opened: string[] } => {
  const opened: string[] = [];
  const host: Host = {
    ...daemonHost(),
    locks: { acquire: async () => ({ release: async () => {} }) },
    disks: {
      list: async () => [],
      open: async (path) => {
        opened.push(path);
        throw new Error('no such disk in this test');
      },
    },
  };
  return { host, opened };
};
const handed = (): HandOver =>
  handOver(daemonHost().clock, [handedVolume(), handedVolume({ key: 'logs', device: '/dev/vdc2', crn: 'crn:other' })]);

t.test('what is refused never leads to a disk', async (t) => {
  const long = Buffer.alloc(4097, 'A').toString();
  const refused: Readonly<Record<string, Buffer>> = {
    nothing: Buffer.alloc(0),
    'not JSON': Buffer.from('{'),
    'a list': Buffer.from('[]'),
    'a field twice': Buffer.from(asked().toString().replace('{', '{"volume":"data",')),
    'another version': asked({ version: 2 }),
    'a field too many': asked({ device: '/dev/vda' }),
    'a volume that boot did not hand over': asked({ volume: 'root' }),
    'no volume': asked({ volume: undefined }),
    'the root key of another volume': asked({ crn: 'crn:other' }),
    'a volume with the root key of another one': asked({ volume: 'logs' }),
    'a seed that is no base64': asked({ wrapped: 'a b' }),
    'a seed in another base64': asked({ wrapped: 'bmV3=' }),
    'no seed': asked({ wrapped: '' }),
    'a seed that is too long': asked({ wrapped: long }),
    'a seed that is no text': asked({ wrapped: 7 }),
    'a key version with a line break': asked({ keyVersion: 'v\n2' }),
    'no key version': asked({ keyVersion: '' }),
    'a request that is too long': Buffer.alloc(9000, 0x20),
  };
  for (const [name, bytes] of Object.entries(refused)) {
    const { host, opened } = hostWithDisks();
    const answer = await storeAsAsked(host, handed(), bytes, []);
    t.match(answer, { stored: false, reason: /^the request is refused: / }, name);
    t.strictSame(opened, [], name);
    t.notOk(JSON.stringify(answer).includes('vda'), `${name}: nothing of it is repeated`);
  }
});

t.test('what is accepted goes to the device of the hand-over, and only to the header', async (t) => {
  const { host, opened } = hostWithDisks();
  const answer = await storeAsAsked(host, handed(), asked(), []);
  t.match(answer, { stored: false, reason: 'internal error Error' }, 'the wording of a foreign error is not repeated');
  t.strictSame(opened, ['/dev/vdb2'], 'the keyfile keeps what the latest boot has proven');
});

t.test('the daemon asks exactly this, and believes nothing but a whole answer', async (t) => {
  const said: Buffer[] = [];
  const answering =
    (answer: string): AskSocket =>
    async (_, question) => {
      said.push(Buffer.from(question));
      return Buffer.from(answer);
    };
  const ask = (answer: string) => askToStore(answering(answer), '/run/x', volume, 'bmV3', 'v2');
  await ask(renderStoreAnswer({ stored: true }));
  t.strictSame(said, [renderStoreRequest(request)]);
  for (const answer of ['', '{"stored":tr', '{}', '[]', '{"stored":false}', '{"stored":"true"}'])
    await t.rejects(ask(answer), { code: 'STORE_REFUSED' }, answer);
  await t.rejects(ask(renderStoreAnswer({ stored: false, reason: 'because' })), { message: /because/ });
  const long = renderStoreAnswer({ stored: false, reason: 'x'.repeat(10_000) });
  t.ok(long.length < 4096, 'an answer fits what the daemon reads');
  t.match(parseStoreAnswer(Buffer.from(long)), { stored: false });
});
