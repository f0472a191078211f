import { describe, expect, it } from '@jest/globals';
import { CLOCK, day, keyOf, link, Story } from './reports.spec-support.js';

describe('rotations', () => {
  const rule = { rotation: { every: 'P10D', grace: 'P1D', mode: 'automatic' } } as const;
  const story = new Story()
    .keyspace(0, 'acme', rule)
    .issue(0, 'k1')
    .issue(0, 'k2')
    .issue(0, 'k3', { rotation: 'none' })
    .rotate(10, 'k1', 1, CLOCK)
    .rotate(13, 'k2', 1)
    .rotate(14, 'k3', 1);
  const admin = { actorType: 'key', actorId: 'admin', onBehalfOf: 'jane', changeReason: 'because' };
  const line = (keyId: string, rotated: number, position: number) => ({
    ...keyOf(keyId),
    secretCreatedAt: day(0),
    rotatedAt: day(rotated),
    graceEndsAt: day(rotated + 1),
    secretId: `${keyId}s2`,
    previousSecretId: `${keyId}s1`,
    ...admin,
    events: link(`keyId=${keyId}&fromPosition=${position}&toPosition=${position}`),
  });
  const k1 = { ...line('k1', 10, 50), actorType: 'clock', actorId: 'worker', timing: 'on-time', dueAt: day(10) };
  const { onBehalfOf: _, ...onTime } = k1;
  const late = { ...line('k2', 13, 60), timing: 'late', dueAt: day(10), lateDays: 3 };
  const free = { ...line('k3', 14, 70), timing: 'unscheduled' };

  it('are on time, late or unscheduled by the rule that held', async () => {
    expect(await story.report('rotations', { at: day(15) })).toEqual([onTime, late, free]);
  });

  it('are those of the period, and what is overdue stands behind them', async () => {
    expect(await story.report('rotations', { at: day(21), from: day(13), to: day(14) })).toEqual([
      late,
      {
        ...keyOf('k1'),
        timing: 'overdue',
        secretCreatedAt: day(10),
        dueAt: day(20),
        lateDays: 1,
        events: link('keyId=k1&toPosition=50'),
      },
    ]);
  });
});

describe('revocations', () => {
  it('tell the time from the request to the record', async () => {
    const story = new Story().keyspace(0, 'acme').issue(0, 'k1').issue(0, 'k2').revoke(5, 'k1', 0.25).revoke(9, 'k2');
    expect(await story.report('revocations', { at: day(20), to: day(9) })).toEqual([
      {
        ...keyOf('k1'),
        reason: 'offboarding',
        requestedAt: day(5),
        revokedAt: day(5),
        recordedAt: '2026-01-06T00:00:00.250Z',
        secondsToEffect: 0.25,
        actorType: 'key',
        actorId: 'admin',
        onBehalfOf: 'jane',
        changeReason: 'because',
        events: link('keyId=k1&fromPosition=40&toPosition=40'),
      },
    ]);
    expect(await story.report('revocations', { at: day(20), within: ['zeta'] })).toEqual([]);
  });
});

describe('changes by actor', () => {
  it('count what each has done, by kind and keyspace', async () => {
    const story = new Story()
      .keyspace(0, 'acme')
      .keyspace(0, 'zeta')
      .issue(1, 'k1')
      .issue(2, 'k2')
      .issue(2, 'k3', { keyspaceId: 'zeta' })
      .rotate(3, 'k1', 1, CLOCK)
      .add(4, { type: 'LeakReported', data: { leakId: 'l1', source: 'found', tokenHash: 'h', reportedAt: day(4) } });
    const by = { actorType: 'key', actorId: 'admin', onBehalfOf: 'jane' };
    const where = (type: string, keyspaceId: string, range: string): string =>
      link(`actorId=admin&type=${type}&keyspaceId=${keyspaceId}&${range}`);
    const acme = [
      {
        ...by,
        type: 'KeyIssued',
        keyspaceId: 'acme',
        count: 2,
        firstAt: day(1),
        lastAt: day(2),
        events: where('KeyIssued', 'acme', 'fromPosition=30&toPosition=40'),
      },
      {
        actorType: 'clock',
        actorId: 'worker',
        type: 'KeyRotated',
        keyspaceId: 'acme',
        count: 1,
        firstAt: day(3),
        lastAt: day(3),
        events: link('actorId=worker&type=KeyRotated&keyspaceId=acme&fromPosition=60&toPosition=60'),
      },
    ];
    const period = { at: day(9), from: day(1) };
    expect(await story.report('changes-by-actor', { ...period, within: ['acme'] })).toEqual(acme);
    expect(await story.report('changes-by-actor', period)).toEqual([
      acme[0],
      {
        ...by,
        type: 'KeyIssued',
        keyspaceId: 'zeta',
        count: 1,
        firstAt: day(2),
        lastAt: day(2),
        events: where('KeyIssued', 'zeta', 'fromPosition=50&toPosition=50'),
      },
      acme[1],
      {
        ...by,
        type: 'LeakReported',
        count: 1,
        firstAt: day(4),
        lastAt: day(4),
        events: link('actorId=admin&type=LeakReported&fromPosition=70&toPosition=70'),
      },
    ]);
  });
});
