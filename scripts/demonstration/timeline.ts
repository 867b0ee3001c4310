/**
 * How the story looks: chapters, lines with the time since the start, and waits as countdowns. Colour and moving lines
 * only on a terminal, and not when NO_COLOR is set (no-color.org); elsewhere every line stays.
 */

export interface Screen {
  write(text: string): void;
  readonly isTerminal: boolean;
  readonly colour: boolean;
  readonly now: () => number;
}

const styles = { bold: '1', dim: '2', red: '31', green: '32', yellow: '33', blue: '34' } as const;
export type Style = keyof typeof styles;

const quietStepSeconds = 15;

export class Timeline {
  readonly #screen: Screen;
  readonly #startedAt: number;
  #chapter = 0;
  #moving = false;

  constructor(screen: Screen) {
    this.#screen = screen;
    this.#startedAt = screen.now();
  }

  style(style: Style, text: string): string {
    return this.#screen.colour ? `\u001b[${styles[style]}m${text}\u001b[0m` : text;
  }

  #stamp(): string {
    const seconds = Math.floor((this.#screen.now() - this.#startedAt) / 1000);
    return this.style(
      'dim',
      `${String(Math.floor(seconds / 60)).padStart(2)}:${String(seconds % 60).padStart(2, '0')} `,
    );
  }

  #print(line: string): void {
    this.#screen.write(`${this.#moving ? '\r\u001b[K' : ''}${line}\n`);
    this.#moving = false;
  }

  chapter(title: string): void {
    this.#chapter += 1;
    this.#print('');
    this.#print(this.style('bold', `${this.#chapter}. ${title}`));
  }

  /** Something that happened. */
  line(text: string): void {
    this.#print(`${this.#stamp()} ${text}`);
  }

  /** Something the story set out to show, and showed. */
  proven(text: string): void {
    this.line(this.style('green', `✓ ${text}`));
  }

  /** Text that belongs to the line before it. */
  detail(text: string): void {
    for (const line of text.trimEnd().split('\n')) this.#print(`        ${line}`);
  }

  /** Counts `seconds` down until `done` settles. The wait itself is real and happens elsewhere. */
  async countdown<T>(what: string, seconds: number, done: Promise<T>): Promise<T> {
    const endsAt = this.#screen.now() + seconds * 1000;
    let spoken = Number.POSITIVE_INFINITY;
    const show = (): void => {
      const left = Math.max(0, Math.ceil((endsAt - this.#screen.now()) / 1000));
      if (this.#screen.isTerminal) {
        this.#screen.write(`\r\u001b[K${this.#stamp()} ${this.style('blue', `… ${what}: ${left} s`)}`);
        this.#moving = true;
      } else if (left <= spoken - quietStepSeconds || spoken === Number.POSITIVE_INFINITY) {
        spoken = left;
        this.line(`… ${what}: ${left} s left`);
      }
    };
    show();
    const timer = setInterval(show, 1000);
    try {
      return await done;
    } finally {
      clearInterval(timer);
      if (this.#moving) this.#screen.write('\r\u001b[K');
      this.#moving = false;
    }
  }
}
