/**
 * The latest events as JSON, from a state they began with: a failure in the field replays in a test, or with `triseed keyd --replay`.
 * Bounded: what falls out at the front moves the state it begins with on, by the machine itself. Pure.
 */
import { parseStrictJson } from '../volumes/strict-json.ts';
import { fields, list, Malformed, texts } from './json-fields.ts';
import { step } from './machine.ts';
import { eventFrom, stateFrom } from './recorded-shape.ts';
import type { Effect, Event, State } from './state.ts';

/** A day of grace polls of one key is 8640; half an hour of them is more than anybody reads. */
const longestRecording = 256;

export interface Recording {
  readonly version: 1;
  readonly begin: State;
  readonly events: readonly {
    readonly event: Event;
    /** What the daemon did then, in words of `effectWords`: a replay that differs is of another version of the machine. */
    readonly did: readonly string[];
  }[];
}

export const recordingMaxBytes = 4 * 1024 * 1024;

export const newRecording = (begin: State): Recording => ({ version: 1, begin, events: [] });

/** Effects in a few words each; what only repeats the state is left out. */
export const effectWords = (effects: readonly Effect[]): readonly string[] =>
  effects.map((effect) => {
    switch (effect.kind) {
      case 'message':
        return effect.name;
      case 'poll':
        return `poll ${effect.key}`;
      case 'rewrap':
      case 'store':
      case 'revoke':
        return `${effect.kind} ${effect.volume}`;
      case 'schedule':
        return `tick at ${effect.atMs}`;
      default:
        return effect.kind;
    }
  });

export const recorded = (recording: Recording, event: Event, effects: readonly Effect[]): Recording => {
  const events = [...recording.events, { event, did: effectWords(effects) }];
  const [first, ...rest] = events;
  if (events.length <= longestRecording || first === undefined) return { ...recording, events };
  return { ...recording, begin: step(recording.begin, first.event).state, events: rest };
};

export const renderRecording = (recording: Recording): string => `${JSON.stringify(recording)}\n`;

/** Reads a document of `renderRecording`; null when it is none. */
export const parseRecording = (bytes: Buffer): Recording | null => {
  const parsed = parseStrictJson(bytes.toString('utf8'));
  if (parsed === null) return null;
  try {
    const { version, begin, events } = fields(parsed.value);
    if (version !== 1) return null;
    return {
      version,
      begin: stateFrom(begin),
      events: list(events).map((entry) => {
        const { event, did } = fields(entry);
        return { event: eventFrom(event), did: texts(did) };
      }),
    };
  } catch (error) {
    if (error instanceof Malformed) return null;
    throw error;
  }
};

export interface Replayed {
  readonly event: Event;
  readonly effects: readonly Effect[];
  /** Whether this machine did what was recorded. */
  readonly isSame: boolean;
}

export const replay = ({ begin, events }: Recording): readonly Replayed[] => {
  let state = begin;
  return events.map(({ event, did }) => {
    const answered = step(state, event);
    state = answered.state;
    const isSame = JSON.stringify(effectWords(answered.effects)) === JSON.stringify(did);
    return { event, effects: answered.effects, isSame };
  });
};
