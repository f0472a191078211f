import { createHash } from 'node:crypto';

/** For the screen and for paper: heads repeat on every sheet, and no line is torn in two. */
export const PAGE_STYLE = `
:root { color-scheme: light; }
body { font: 13px/1.4 system-ui, sans-serif; color: #111; background: #fff; margin: 1.5rem; }
h1 { font-size: 1.4rem; margin: 0 0 .3rem; }
header p { max-width: 60rem; margin: 0 0 .6rem; }
dl { display: grid; grid-template-columns: max-content auto; gap: 0 .8rem; margin: 0 0 1rem; }
dt { color: #555; }
dd { margin: 0; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #ccc; padding: .2rem .5rem; text-align: left; vertical-align: top; }
th { border-bottom: 2px solid #333; background: #f3f3f3; }
td { overflow-wrap: break-word; max-width: 24rem; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
footer { margin-top: 1rem; color: #555; }
@page { size: A4 landscape; margin: 12mm; }
@media print {
  body { font-size: 7pt; margin: 0; }
  th, td { padding: 1pt 2pt; }
  td { overflow-wrap: anywhere; min-width: 4.5em; }
  thead { display: table-header-group; }
  tr { break-inside: avoid; }
  a { color: inherit; text-decoration: none; }
}
`;

/** What a page of a report may load and run: nothing but its own style. */
export const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(PAGE_STYLE).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
