import { describe, expect, it } from '@jest/globals';
import streamsPb from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js';
import sharedPb from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/shared_pb.js';
import fc from 'fast-check';
import { decodeAppendAnswer, encodeAppend } from './append-wire.js';

// Against the official client's own reading of the protocol.

const anEvent = fc.record({
  id: fc.uuid(),
  type: fc.string({ unit: 'grapheme', minLength: 1 }),
  data: fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
  metadata: fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes)),
});
const aRevision = fc.oneof(fc.constant(-1), fc.nat(), fc.maxSafeNat());
const deadlines = fc.integer({ min: 0, max: 4e12 });

describe('an append on the wire', () => {
  it('says to the official stubs what it was given', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2 ** 50 }),
        fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 }),
        aRevision,
        deadlines,
        fc.array(anEvent, { minLength: 1, maxLength: 5 }),
        (correlation, stream, expectedRevision, deadlineMs, events) => {
          const bytes = encodeAppend(correlation, { stream, expectedRevision, deadlineMs, events });
          const read = streamsPb.BatchAppendReq.deserializeBinary(bytes);
          const options = read.getOptions();
          expect(read.getIsFinal()).toBe(true);
          expect(read.getCorrelationId()?.getStructured()?.getLeastSignificantBits()).toBe(String(correlation));
          expect(textOf(options?.getStreamIdentifier()?.getStreamName_asU8())).toBe(stream);
          expect(options?.hasNoStream()).toBe(expectedRevision < 0);
          if (expectedRevision >= 0) expect(options?.getStreamPosition()).toBe(String(expectedRevision));
          expect(options?.getDeadline21100()?.toDate().getTime()).toBe(deadlineMs);
          const sent = read.getProposedMessagesList().map((message) => ({
            id: message.getId()?.getString(),
            type: message.getMetadataMap().get('type'),
            data: Buffer.from(message.getData_asU8()),
            metadata: Buffer.from(message.getCustomMetadata_asU8()),
          }));
          expect(sent).toEqual(events);
          expect(read.getProposedMessagesList()[0]?.getMetadataMap().get('content-type')).toBe('application/json');
        },
      ),
    );
  });
});

describe('the answer to an append', () => {
  it.each(['structured', 'as text'])('is known by its correlation, given back %s', (form) => {
    const uuid = new sharedPb.UUID();
    if (form === 'as text') uuid.setString('00000000-0000-0000-0000-0000000012ab');
    else {
      const halves = new sharedPb.UUID.Structured();
      halves.setMostSignificantBits('0');
      halves.setLeastSignificantBits(String(0x12ab));
      uuid.setStructured(halves);
    }
    const answer = done();
    answer.setCorrelationId(uuid);
    expect(decode(answer)).toEqual({ correlation: 0x12ab, verdict: { kind: 'done', position: 77n } });
  });

  it('may leave out where the events stand', () => {
    const answer = new streamsPb.BatchAppendResp();
    const success = new streamsPb.BatchAppendResp.Success();
    success.setNoPosition(new sharedPb.Empty());
    success.setCurrentRevision('3');
    answer.setSuccess(success);
    expect(decode(answer).verdict).toEqual({ kind: 'done', position: undefined });
  });

  it('that says nothing is an error', () => {
    expect(() => decodeAppendAnswer(Buffer.alloc(0))).toThrow(RangeError);
  });
});

function done(): streamsPb.BatchAppendResp {
  const position = new sharedPb.AllStreamPosition();
  position.setCommitPosition('77');
  position.setPreparePosition('77');
  const success = new streamsPb.BatchAppendResp.Success();
  success.setCurrentRevision('0');
  success.setPosition(position);
  const answer = new streamsPb.BatchAppendResp();
  answer.setSuccess(success);
  return answer;
}

const decode = (answer: streamsPb.BatchAppendResp): ReturnType<typeof decodeAppendAnswer> =>
  decodeAppendAnswer(Buffer.from(answer.serializeBinary()));

const textOf = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('utf8');
