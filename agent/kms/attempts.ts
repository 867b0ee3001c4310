/** Every reason is kept: what each entry answered, how often, and the id its operator asks for. */
import { AgentError } from '../errors.ts';
import type { KmsAnswer } from './backend.ts';
import { describeRefusal } from './classify.ts';

/** A thousand minutes of polling repeat a few reasons; more kinds than this tell nothing new. */
const MAX_KINDS = 64;

interface Attempt {
  readonly entry: number;
  readonly operation: string;
  readonly reason: string;
  times: number;
  correlationId: string | null;
}

export class Attempts {
  readonly #kinds = new Map<string, Attempt>();
  #further = 0;

  /** Notes a refusal of the entry with this index. */
  note(entryIndex: number, operation: string, reason: string, correlationId: string | null): void {
    const name = `${entryIndex} ${operation} ${reason}`;
    const known = this.#kinds.get(name);
    if (known !== undefined) {
      known.times += 1;
      known.correlationId = correlationId;
    } else if (this.#kinds.size < MAX_KINDS) {
      this.#kinds.set(name, { entry: entryIndex + 1, operation, reason, times: 1, correlationId });
    } else {
      this.#further += 1;
    }
  }

  /** Notes `answer` when it is a refusal, and hands it back. */
  observe<T>(entryIndex: number, operation: string, answer: KmsAnswer<T>): KmsAnswer<T> {
    if (answer.kind !== 'done') this.note(entryIndex, operation, describeRefusal(answer), answer.correlationId);
    return answer;
  }

  /** All reasons as the cause of a final error. */
  toCause(): AggregateError {
    const errors = [...this.#kinds.values()].map((attempt) => new AgentError('KMS_ATTEMPT_FAILED', { ...attempt }));
    const further = this.#further === 0 ? '' : `, and ${this.#further} further answers of other kinds`;
    return new AggregateError(errors, `${errors.length} kinds of answers${further}`);
  }
}
