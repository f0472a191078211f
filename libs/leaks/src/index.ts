/**
 * Leak incidents, from a report to what is done about the key: the same steps for every source and every process, so
 * that whoever is interrupted between two of them, another goes on from the events alone. What was found is hashed
 * before anything else happens to it.
 */
export { Incidents, type Incident } from './incidents.js';
export { foundHash, foundText, type FoundToken } from './token.js';
export { type LeakReport } from './report.js';
