import type { PersonalField, SubjectKind } from '../personal.js';
import type { Instant } from '../time.js';

/** The data keys of a subject, up to that generation, are destroyed: what they encrypted can be read by nobody. */
export interface SubjectErased {
  type: 'SubjectErased';
  data: {
    subjectId: string;
    kind: SubjectKind;
    /** Later data about the same subject has a key of the next generation. */
    generation: number;
    fields: PersonalField[];
    reason: string;
    comment?: string;
    erasedAt: Instant;
  };
}

export type SubjectEvent = SubjectErased;
