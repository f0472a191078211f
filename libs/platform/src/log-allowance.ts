/**
 * How many lines of one kind a log gets in a minute, so that somebody who makes us fail cannot fill a disk. What is left
 * out is counted, and told with the first line after.
 */
export class LogAllowance {
  private minute = 0;
  private lines = 0;
  private leftOut = 0;

  constructor(
    private readonly linesPerMinute: number,
    private readonly nowMillis: () => number = Date.now,
  ) {}

  /** What to add to the line that may now be written; `undefined` if there is none. */
  take(): { leftOutBefore?: number } | undefined {
    const minute = Math.floor(this.nowMillis() / 60_000);
    if (minute !== this.minute) {
      this.minute = minute;
      this.lines = 0;
    }
    if (this.lines >= this.linesPerMinute) {
      this.leftOut++;
      return undefined;
    }
    this.lines++;
    const { leftOut } = this;
    this.leftOut = 0;
    return leftOut > 0 ? { leftOutBefore: leftOut } : {};
  }
}
