"""The style of the dossier: for the screen, a phone and A4. No font and no image from elsewhere."""

from __future__ import annotations

CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

CSS = """
:root { --line: #c9d0d6; --soft: #f3f5f7; --ink: #16202a; --quiet: #55626e;
  --pass: #1b6e3c; --fail: #a3161e; --unknown: #8a5a00; --duty: #1f4f8f; --na: #55626e; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 62rem; padding: 1.2rem; color: var(--ink); background: #fff;
  font: 15px/1.45 "DejaVu Sans", "Liberation Sans", Arial, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.55rem; line-height: 1.2; margin: 0 0 .2rem; }
h2 { font-size: 1.18rem; margin: 2rem 0 .5rem; padding-bottom: .2rem; border-bottom: 2px solid var(--ink); }
h3 { font-size: 1rem; margin: 1.1rem 0 .3rem; }
p { margin: .4rem 0; max-width: 46rem; }
a { color: inherit; }
.quiet { color: var(--quiet); font-size: .88rem; }
code, .hash { font-family: "DejaVu Sans Mono", "Liberation Mono", monospace; font-size: .86em;
  overflow-wrap: anywhere; }
header dl { margin-top: .7rem; }
dl { margin: .4rem 0; display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0 1.4rem; }
dl div { display: flex; gap: .6rem; border-bottom: 1px solid var(--line); padding: .18rem 0; }
dt { flex: 0 0 36%; min-width: 0; color: var(--quiet); overflow-wrap: anywhere; }
h1, h2, h3, nav { overflow-wrap: anywhere; }
dd { margin: 0; flex: 1; min-width: 0; overflow-wrap: anywhere; }
p, li { overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-size: .87rem; margin: .5rem 0; }
th { text-align: left; background: var(--soft); border-bottom: 1px solid var(--ink); vertical-align: bottom; }
th, td { padding: .28rem .4rem; }
td { border-bottom: 1px solid var(--line); vertical-align: top; }
ul { margin: .3rem 0; padding-left: 1.2rem; }
.lights { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: .6rem; margin: .8rem 0; }
.light { border: 1px solid var(--line); border-left: .5rem solid var(--na); padding: .4rem .6rem; }
.light b { display: block; }
.light.pass { border-left-color: var(--pass); } .light.fail { border-left-color: var(--fail); }
.light.unknown { border-left-color: var(--unknown); } .light.duty { border-left-color: var(--duty); }
.state { font-weight: bold; white-space: nowrap; }
.state.pass { color: var(--pass); } .state.fail { color: var(--fail); } .state.unknown { color: var(--unknown); }
.state.duty { color: var(--duty); } .state.na { color: var(--na); }
.lab { background: var(--fail); color: #fff; font-weight: bold; padding: .4rem .6rem; margin-bottom: .8rem; }
.mark { display: none; }
nav { font-size: .88rem; columns: 2; margin: .6rem 0; break-inside: avoid; }
nav a { display: block; padding: .08rem 0; text-decoration: none; }
figure { margin: .6rem 0; }
svg { width: 100%; height: auto; display: block; }
pre { font-size: .74rem; background: var(--soft); padding: .6rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.foot { color: var(--quiet); font-size: .8rem; margin: 0 0 .6rem; }
.n { white-space: nowrap; text-align: right; }
@media (max-width: 42rem) {
  * { overflow-wrap: anywhere; }
  body { padding: .7rem; }
  dl { grid-template-columns: 1fr; } .lights { grid-template-columns: 1fr 1fr; } nav { columns: 1; }
  thead { display: none; } table, tbody, tr, td { display: block; width: 100%; }
  tr.row { border: 1px solid var(--line); margin-bottom: .5rem; }
  td { border: 0; padding: .18rem .5rem; } td[data-head]::before { content: attr(data-head) ": "; color: var(--quiet); }
  .n { text-align: left; }
  figure { overflow-x: auto; } figure svg { min-width: 40rem; }
}
@page { size: A4; margin: 17mm 15mm 18mm;
  @bottom-left { content: string(box); font: 8pt "DejaVu Sans", sans-serif; color: #55626e; }
  @bottom-right { content: counter(page) " / " counter(pages); font: 8pt "DejaVu Sans", sans-serif; color: #55626e; } }
@media print {
  html { font-size: 9pt; }
  body { max-width: none; padding: 0; font-size: 9pt; line-height: 1.38; }
  .foot { string-set: box content(); height: 0; margin: 0; overflow: hidden; font-size: 1pt; color: #fff; }
  h1 { font-size: 16pt; } h2 { font-size: 12pt; margin-top: 7mm; } h3 { font-size: 9.5pt; }
  h2, h3, .lead { break-after: avoid; }
  nav { font-size: 8.5pt; } table { font-size: 8pt; } thead { display: table-header-group; } tr { break-inside: avoid; }
  figure, .light, dl div { break-inside: avoid; } section > h2 + p { break-after: avoid; }
  p, li { orphans: 3; widows: 3; }
  nav a::after { content: leader(".") target-counter(attr(href), page); color: var(--quiet); }
  pre { font-size: 6.6pt; }
  .lab-mode .mark { display: block; position: fixed; top: 90mm; left: 20mm; font-size: 120pt; color: #f3d7d8;
    transform: rotate(-35deg); z-index: -1; }
}
"""
