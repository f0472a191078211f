/** The system cannot be started as things are; the message says what to change. Nothing is left running. */
export class UpRefused extends Error {}

/** It never could be with this configuration: no use to try again. */
export class UpMisconfigured extends UpRefused {}
