/** What a scripted fault answers instead of the service. Pure. */
import type { ServerReply } from '../service-ports.ts';
import type { Stroke } from './faults.ts';
import { bareBody, isReasonCode, REASONS, reasonBody } from './reasons.ts';

const FAILED = 'The request could not be served';

/** Body of a scripted answer: the documented one of a reason code, else one without reasons. */
const scriptedBody = (status: number, code: string | null): string => {
  if (code !== null) {
    const message = isReasonCode(code) ? REASONS[code][1] : 'scripted fault';
    return reasonBody(status, FAILED, code, message);
  }
  const words = status === 401 ? 'The user does not have access to the specified resource' : FAILED;
  return bareBody(status, words);
};

/** What a stroke other than a delay answers. */
export const strokeReply = (stroke: Exclude<Stroke, { readonly kind: 'delay' }>): ServerReply => {
  switch (stroke.kind) {
    case 'drop':
    case 'hang':
      return { kind: stroke.kind };
    case 'truncate':
      return { kind: 'truncate', body: JSON.stringify({ metadata: {}, resources: [], padding: 'x'.repeat(64) }) };
    case 'malformed':
      return { kind: 'reply', status: 200, headers: { 'content-type': 'text/html' }, body: '<html>gateway</html>' };
    case 'status': {
      const { status, code, body, retryAfterSeconds } = stroke;
      const type = body === null ? 'application/json' : 'text/plain';
      const retry = retryAfterSeconds === null ? {} : { 'retry-after': String(retryAfterSeconds) };
      return {
        kind: 'reply',
        status,
        headers: { 'content-type': type, ...retry },
        body: body ?? scriptedBody(status, code),
      };
    }
  }
};
