/** One contract section: the value as delivered beside the document it opens to. */
import { createHash } from 'node:crypto';
import type { ParsedGround } from './finding.ts';
import type { StrictDocument, YamlMapping } from './strict-yaml.ts';
import type { SectionName } from './types.ts';

/** How a section was written: an encrypted token, a string holding YAML, or a mapping inside the contract itself. */
export type SectionForm = 'token' | 'text' | 'nested';

/** Everything that may hold a seed is behind a getter, so that neither inspection nor JSON of a contract prints it. */
export class OpenedSection {
  readonly name: SectionName;
  readonly form: SectionForm;
  /** Lower-case hex SHA-256 of `delivered` in UTF-8. */
  readonly sha256: string;
  readonly #delivered: string;
  readonly #ground: ParsedGround;

  constructor(name: SectionName, form: SectionForm, delivered: string, ground: ParsedGround) {
    this.name = name;
    this.form = form;
    this.sha256 = createHash('sha256').update(delivered, 'utf8').digest('hex');
    this.#delivered = delivered;
    this.#ground = ground;
  }

  /**
   * The value as it stands in the contract: token text, YAML text, or for a nested mapping its slice of the source.
   * Signature and contract hashes cover this, never the opened text.
   */
  get delivered(): string {
    return this.#delivered;
  }

  /** The section's own text with its parsed document, for findings. */
  get ground(): ParsedGround {
    return this.#ground;
  }

  get document(): StrictDocument {
    return this.#ground.document;
  }

  /** The parsed section. */
  get value(): YamlMapping {
    return this.#ground.document.value as YamlMapping;
  }
}
