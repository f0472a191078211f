import { spawn, type ChildProcess } from 'node:child_process';

/**
 * Reads lists of process ids, each replacing the one before, in the order in which they are to end: ids that end together,
 * then `/`, then the next. When its input closes (its writer is gone, whatever killed it) it ends those of the last
 * list: SIGTERM, ten seconds, SIGKILL. A zombie counts as gone: not every init collects orphans.
 */
const SCRIPT = `# keyledger: ends what a killed supervisor left behind
trap '' HUP INT TERM
list=
while read -r line; do list=$line; done
alive() {
  kill -0 "$1" 2>/dev/null || return 1
  [ -r "/proc/$1/stat" ] || return 0
  read -r stat <"/proc/$1/stat" || return 1
  state=\${stat##*\\) }
  [ "\${state%% *}" != Z ]
}
any_alive() { for pid in "$@"; do alive "$pid" && return 0; done; return 1; }
end_all() {
  [ $# -gt 0 ] || return 0
  for signal in TERM CONT; do for pid in "$@"; do kill -$signal "$pid" 2>/dev/null; done; done
  tries=0
  while any_alive "$@" && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
  for pid in "$@"; do kill -KILL "$pid" 2>/dev/null; done
}
set --
for word in $list; do
  if [ "$word" = / ]; then end_all "$@"; set --; else set -- "$@" "$word"; fi
done
end_all "$@"
`;

/**
 * Ends processes that outlive the one that started them, which a program like redis-server would do for ever when its
 * parent is killed with SIGKILL. A shell of about one megabyte that sleeps until then; if it dies, the next change
 * starts another.
 */
export class Watchdog {
  private shell: ChildProcess | undefined;
  private readonly stages = new Map<number, number>();

  /** @param stage processes of a lower one are ended first */
  watch(pid: number, stage: number): void {
    this.stages.set(pid, stage);
    this.tell();
  }

  unwatch(pid: number): void {
    if (this.stages.delete(pid)) this.tell();
  }

  /** Sends it home. What it still watches it ends first. */
  async end(): Promise<void> {
    const { shell } = this;
    this.shell = undefined;
    if (!shell || hasEnded(shell)) return;
    const ended = new Promise((resolve) => shell.once('exit', resolve));
    shell.stdin?.end();
    shell.ref();
    await ended;
  }

  private tell(): void {
    if (!this.shell || hasEnded(this.shell)) this.shell = startShell();
    const byStage = new Map<number, number[]>();
    for (const [pid, stage] of this.stages) byStage.set(stage, [...(byStage.get(stage) ?? []), pid]);
    const list = [...byStage].sort(([a], [b]) => a - b).map(([, pids]) => pids.join(' '));
    this.shell.stdin?.write(`${list.join(' / ')}\n`);
  }
}

// In a session of its own: a Ctrl-C in the terminal is for the supervisor, who knows the order.
function startShell(): ChildProcess {
  const shell = spawn('/bin/sh', ['-c', SCRIPT, 'keyledger-watchdog'], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  shell.on('error', () => undefined);
  shell.stdin.on('error', () => undefined);
  shell.unref();
  return shell;
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
