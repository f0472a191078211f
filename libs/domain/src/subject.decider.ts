import {
  FIELDS_OF_SUBJECT,
  type Instant,
  type SubjectErased,
  type SubjectEvent,
  type SubjectKind,
} from '@keyledger/contracts';
import { accept, type Decider } from './decider.js';

/** What was erased about a subject of personal data. The data itself is in no state: this knows keys, not people. */
export interface SubjectState {
  subjectId: string;
  kind: SubjectKind;
  /** Every data key up to this generation is destroyed, or about to be. */
  erasedGeneration: number;
  /** Oldest first. */
  erasures: Omit<SubjectErased['data'], 'subjectId' | 'kind' | 'fields'>[];
}

export interface EraseSubject {
  type: 'EraseSubject';
  subjectId: string;
  kind: SubjectKind;
  /** The newest generation of its data key that there is. */
  generation: number;
  reason: string;
  comment?: string;
  now: Instant;
}

/** An erasure is final. Asked for again while nothing new is held about the subject, nothing happens. */
export const subjectDecider: Decider<EraseSubject, SubjectState | undefined, SubjectEvent> = {
  initialState: undefined,
  decide({ subjectId, kind, generation, reason, comment, now }, state) {
    if (state && generation <= state.erasedGeneration) return accept();
    const why = { reason, ...(comment !== undefined && { comment }) };
    const fields = [...FIELDS_OF_SUBJECT[kind]];
    return accept({ type: 'SubjectErased', data: { subjectId, kind, generation, fields, ...why, erasedAt: now } });
  },
  evolve(state, { data: { subjectId, kind, fields: _, ...erasure } }) {
    return {
      subjectId,
      kind,
      erasedGeneration: Math.max(erasure.generation, state?.erasedGeneration ?? 0),
      erasures: [...(state?.erasures ?? []), erasure],
    };
  },
};
