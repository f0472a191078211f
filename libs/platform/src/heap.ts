import { setFlagsFromString } from 'node:v8';

/**
 * How much garbage may pile up beside what is in use before it is collected, in percent. Left alone V8 lets the heap grow
 * to several times what is in use where the machine has memory to spare: 300 MiB for 50. Not a limit: what is needed is
 * had, and nothing fails for want of it.
 */
const GROWING_PERCENT = { scarce: 30, plenty: 60 };

/**
 * Scarce suits a process that reads a log in bulk: its garbage is buffers, and of memory that was once taken for them the
 * system gets back little. Plenty suits one that has a lot to decide: with little room it spends a fifth of its time on
 * looking through all of its heap.
 */
export function giveHeap(room: keyof typeof GROWING_PERCENT): void {
  setFlagsFromString(`--heap-growing-percent=${GROWING_PERCENT[room]}`);
}

/*
 * Imported for this effect, and first of all by every `main.ts`. V8 says at the end of a collection when it will collect
 * next. Said after the other modules were loaded this was heard only once the heap had trebled: a process that has a long
 * log to read when it starts had 25 MB of buffers in its garbage by then.
 */
giveHeap('scarce');
