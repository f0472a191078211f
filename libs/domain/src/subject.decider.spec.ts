import { describe, expect, it } from '@jest/globals';
import type { SubjectEvent } from '@keyledger/contracts';
import { subjectDecider, type EraseSubject } from './subject.decider.js';

const subjectId = '3vQ8Z6V7K3M5N9P2R4T6W8';
const now = '2026-11-24T10:00:00.000Z';
const erase = (generation: number): EraseSubject => ({
  type: 'EraseSubject',
  subjectId,
  kind: 'person',
  generation,
  reason: 'request of the person',
  now,
});
const erased = (generation: number): SubjectEvent => ({
  type: 'SubjectErased',
  data: {
    subjectId,
    kind: 'person',
    generation,
    fields: ['actor.onBehalfOf', 'clientAddress', 'userAgent'],
    reason: 'request of the person',
    erasedAt: now,
  },
});
const given = (...events: SubjectEvent[]) =>
  events.reduce((state, event) => subjectDecider.evolve(state, event), subjectDecider.initialState);

describe('erasing a subject', () => {
  it('records the generation, the fields that go with it, and why', () => {
    expect(subjectDecider.decide(erase(1), given())).toEqual({ accepted: true, events: [erased(1)] });
  });

  it('again, while nothing new is held, changes nothing', () => {
    expect(subjectDecider.decide(erase(1), given(erased(1)))).toEqual({ accepted: true, events: [] });
  });

  it('again, after new data came in, takes away the new generation too', () => {
    expect(subjectDecider.decide(erase(2), given(erased(1)))).toEqual({ accepted: true, events: [erased(2)] });
    expect(given(erased(1), erased(2))).toEqual({
      subjectId,
      kind: 'person',
      erasedGeneration: 2,
      erasures: [
        { generation: 1, reason: 'request of the person', erasedAt: now },
        { generation: 2, reason: 'request of the person', erasedAt: now },
      ],
    });
  });
});
