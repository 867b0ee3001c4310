/** One contract section: the value as delivered beside the document it opens to. */
import { createHash } from 'node:crypto';
import type { StrictDocument } from './strict-yaml.ts';
import type { SectionName } from './types.ts';

/** How a section was written: an encrypted token, a string holding YAML, or a mapping inside the contract itself. */
export type SectionForm = 'token' | 'text' | 'nested';

export class OpenedSection {
  readonly name: SectionName;
  readonly form: SectionForm;
  /**
   * The value as it stands in the contract: token text, YAML text, or for a nested mapping its slice of the source.
   * Signature and contract hashes cover this, never the opened text.
   */
  readonly delivered: string;
  /** Lower-case hex SHA-256 of `delivered` in UTF-8. */
  readonly sha256: string;
  /** Private, so that neither inspection nor JSON of a contract prints seeds. */
  readonly #document: StrictDocument;

  constructor(name: SectionName, form: SectionForm, delivered: string, document: StrictDocument) {
    this.name = name;
    this.form = form;
    this.delivered = delivered;
    this.sha256 = createHash('sha256').update(delivered, 'utf8').digest('hex');
    this.#document = document;
  }

  /** The parsed section. Holds seeds and credentials. */
  get document(): StrictDocument {
    return this.#document;
  }
}
