/** Personal data in events: where it stands, whose it is, and how it is written down. */

/** Whose data a value is: an owner's contact, a person for whom something was done, a credential's holder, an address. */
export const SUBJECT_KINDS = ['owner', 'person', 'credential', 'address'] as const;
export type SubjectKind = (typeof SUBJECT_KINDS)[number];

/** Fields that are encrypted before anything is appended. The last part is the member's name wherever it stands. */
export const PERSONAL_FIELDS = [
  'contact.name',
  'contact.email',
  'actor.onBehalfOf',
  'clientAddress',
  'userAgent',
  'presentedFrom.address',
  'presentedFrom.userAgent',
] as const;
export type PersonalField = (typeof PERSONAL_FIELDS)[number];

/** What an erasure of a subject of each kind takes away. */
export const FIELDS_OF_SUBJECT: Readonly<Record<SubjectKind, readonly PersonalField[]>> = {
  owner: ['contact.name', 'contact.email'],
  person: ['actor.onBehalfOf', 'clientAddress', 'userAgent'],
  credential: ['clientAddress', 'userAgent'],
  address: ['clientAddress', 'userAgent', 'presentedFrom.address', 'presentedFrom.userAgent'],
};

/**
 * A value as it is stored: `pii:v1:<subjectId>:<generation>:<field>:<base64url of iv, tag and ciphertext>`, AES-256-GCM
 * under the data key of that subject's generation, with everything before the last colon as additional data.
 */
export const PERSONAL_TOKEN_PREFIX = 'pii:v1:';

/** What stands in an answer where a value cannot be shown. */
export const PERSONAL_MARKS = {
  /** Its key was destroyed. */
  erased: '[erased]',
  /** Its key is not here, or the value is damaged; it may be readable elsewhere. */
  unreadable: '[unreadable]',
  /** It was given, and there was no way of keeping it encrypted. Stored like this. */
  withheld: '[withheld]',
} as const;

export const SUBJECT_ID_PATTERN = /^[0-9A-Za-z]{22}$/;
