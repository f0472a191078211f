import { createTransport, type Transporter } from 'nodemailer';

export interface Mail {
  to: readonly string[];
  subject: string;
  text: string;
  /** Names the mail for good: the same at every try. */
  id: string;
}

/** The mail was not taken. `permanent`: the server says that it never will be. */
export class MailError extends Error {
  constructor(
    message: string,
    readonly permanent: boolean,
  ) {
    super(message);
    this.name = 'MailError';
  }
}

const CONNECT_MS = 10_000;
const SILENCE_MS = 15_000;
const TOTAL_MS = 45_000;

/** Sends plain mails through the operator's server, each over a connection of its own. */
export class Mailer {
  private readonly domain: string;

  constructor(
    private readonly url: string | undefined,
    private readonly from: string,
  ) {
    this.domain = /@([^>\s]+)/.exec(from)?.[1] ?? 'localhost';
  }

  /** @returns what the server said. @throws MailError */
  async send({ to, subject, text, id }: Mail): Promise<string> {
    if (this.url === undefined) throw new MailError('there is no mail server; set KEYLEDGER_SMTP_URL', false);
    const transport = createTransport({
      url: this.url,
      connectionTimeout: CONNECT_MS,
      greetingTimeout: CONNECT_MS,
      socketTimeout: SILENCE_MS,
      disableFileAccess: true,
      disableUrlAccess: true,
    });
    const giveUp = new Promise<never>((_, reject) => {
      setTimeout(
        () => reject(new MailError(`did not take the mail within ${TOTAL_MS / 1000} s`, false)),
        TOTAL_MS,
      ).unref();
    });
    try {
      return await Promise.race([this.hand(transport, { to, subject, text, id }), giveUp]);
    } finally {
      transport.close();
    }
  }

  private async hand(transport: Transporter, { to, subject, text, id }: Mail): Promise<string> {
    try {
      const sent = (await transport.sendMail({
        from: this.from,
        to: [...to],
        subject,
        text,
        messageId: `<${id}@${this.domain}>`,
        headers: { 'Auto-Submitted': 'auto-generated', 'X-Keyledger-Notification': id },
      })) as { response: string; rejected: unknown[] };
      const rejected = sent.rejected.length > 0 ? `; not for ${sent.rejected.map(String).join(', ')}` : '';
      return `${sent.response}${rejected}`.slice(0, 200);
    } catch (error) {
      const { message, code, responseCode = 0 } = error as Error & { code?: string; responseCode?: number };
      const permanent = code === 'EENVELOPE' && responseCode >= 500;
      throw new MailError(message.slice(0, 200), permanent);
    }
  }
}
