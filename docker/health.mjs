// node health.mjs PORT live|ready: exit code 0 if this container's process says that it is. For healthchecks, since the
// images carry no curl.
const [port, what] = process.argv.slice(2);
const answer = await fetch(`http://127.0.0.1:${port}/health/${what}`, { signal: AbortSignal.timeout(4_000) });
process.exitCode = answer.ok ? 0 : 1;
