import { setFlagsFromString } from 'node:v8';

/**
 * How much garbage may pile up beside what is in use before it is collected, in percent. Left alone V8 lets the heap grow
 * to several times what is in use where the machine has memory to spare: 300 MiB for 50. Not a limit: what is needed is
 * had, and nothing fails for want of it.
 */
const HEAP_GROWING_PERCENT = 30;

/*
 * Imported for its effect, and first of all by every `main.ts`. V8 says at the end of a collection when it will collect
 * next. Said after the other modules were loaded this was heard only once the heap had trebled: a process that has a long
 * log to read when it starts had 25 MB of buffers in its garbage by then, and of memory that was once taken from it the
 * system gets back little.
 */
setFlagsFromString(`--heap-growing-percent=${HEAP_GROWING_PERCENT}`);
