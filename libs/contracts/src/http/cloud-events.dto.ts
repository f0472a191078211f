import { ApiProperty } from '@nestjs/swagger';

/** An event of the trail for a SIEM: OCSF in the structured form of CloudEvents 1.0.2. */
export class CloudEventView {
  @ApiProperty({ enum: ['1.0'] })
  specversion: '1.0';
  /** That of the event: the same when it comes again. */
  id: string;
  /** @example 'urn:keyledger' */
  source: string;
  /** @example 'keyledger.KeyRevoked' */
  type: string;
  /** Id of the key, or the stream of what is about none. */
  subject: string;
  /** When it happened. */
  @ApiProperty({ format: 'date-time' })
  time: string;
  /** @example 'application/json' */
  datacontenttype: string;
  /** The class of OCSF that `data` is of. */
  dataschema: string;
  /** The position of the event, with zeros in front so that it orders as text. */
  sequence: string;
  /** When it was written down. */
  @ApiProperty({ format: 'date-time' })
  recordedtime: string;
  @ApiProperty({ enum: ['api_key', 'system'] })
  authtype: 'api_key' | 'system';
  /** Who did it. */
  authid: string;
  /** The event in OCSF. */
  @ApiProperty({ type: 'object', additionalProperties: true })
  data: Record<string, unknown>;
}
