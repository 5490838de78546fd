import { hash } from 'node:crypto';
import { Html } from './html.ts';

const style = `
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --line: #e2e6eb; --text: #18212d; --quiet: #5b6675; --track: #e9ecf0;
  --good: #17784a; --good-soft: #e2f4ea; --warn: #8a5800; --warn-soft: #fcf0d4;
  --bad: #b42318; --bad-soft: #fdeae8; --wait: #31578f; --wait-soft: #e6eefa;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f141a; --card: #171d25; --line: #28313c; --text: #e4e9ef; --quiet: #96a2b1; --track: #28313c;
    --good: #5fcf97; --good-soft: #12301f; --warn: #e8b650; --warn-soft: #33270c;
    --bad: #ff8a7d; --bad-soft: #3a1815; --wait: #8db6f2; --wait-soft: #172a44;
  }
}
* { box-sizing: border-box; margin: 0; }
body {
  max-width: 56rem; margin: 0 auto; padding: 2.5rem 1.25rem 3rem; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums; -webkit-font-smoothing: antialiased;
}
code { font: .867em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
header, .title { display: flex; flex-wrap: wrap; align-items: center; justify-content: space-between; gap: .25rem 1rem; }
a { margin-right: .5em; color: inherit; overflow-wrap: anywhere; }
h1 { font-size: 1.35rem; font-weight: 650; letter-spacing: -.015em; }
h2 { font-size: 1.1rem; font-weight: 650; letter-spacing: -.01em; }
h3, dt { color: var(--quiet); font-size: .8rem; font-weight: 500; }
.quiet { color: var(--quiet); }
.small { font-size: .867rem; }
.badge { display: inline-block; padding: .1rem .65rem; border-radius: 1rem; font-size: .867rem; font-weight: 600; white-space: nowrap; }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); } .wait { color: var(--wait); }
.badge.good { background: var(--good-soft); } .badge.warn { background: var(--warn-soft); }
.badge.bad { background: var(--bad-soft); } .badge.wait { background: var(--wait-soft); }
section { margin-top: 1.5rem; padding: 1.25rem 1.5rem 1.35rem; background: var(--card); border: 1px solid var(--line); border-radius: .75rem; }
.life { margin-top: 1.1rem; }
.life svg { display: block; width: 100%; height: .75rem; }
.life .track { fill: var(--track); }
.life .left { fill: currentColor; transition: width .5s ease-out; }
.life .due { fill: var(--card); }
.life p { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem; margin-top: .4rem; color: var(--text); }
.note { margin-top: 1.1rem; padding: .65rem .9rem; border-radius: .5rem; color: var(--text); }
.note.warn { background: var(--warn-soft); } .note.bad { background: var(--bad-soft); }
.note b { font-weight: 650; } .note.warn b { color: var(--warn); } .note.bad b { color: var(--bad); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.75rem, 1fr)); gap: .9rem 1.25rem; margin-top: 1.25rem; }
dd { margin: 0; }
h3 { margin-top: 1.35rem; padding-bottom: .35rem; }
ul { padding: 0; list-style: none; }
li { padding: .6rem 0; border-top: 1px solid var(--line); }
li:last-child { padding-bottom: 0; }
#lost { margin-top: 1.25rem; }
footer { margin-top: 1.5rem; text-align: center; }
`;

/**
 * Takes over only what differs, so that nothing flickers and a selection stays. Without scripts the page reloads itself
 * instead.
 */
const script = `
const differs = (a, b) => a.nodeName !== b.nodeName || a.childNodes.length !== b.childNodes.length;
function take(a, b) {
  if (differs(a, b)) return a.replaceWith(document.importNode(b, true));
  if (a.nodeType === Node.TEXT_NODE) { if (a.data !== b.data) a.data = b.data; return; }
  for (const { name, value } of b.attributes) if (a.getAttribute(name) !== value) a.setAttribute(name, value);
  for (const { name } of [...a.attributes]) if (!b.hasAttribute(name)) a.removeAttribute(name);
  const others = [...b.childNodes];
  [...a.childNodes].forEach((child, index) => take(child, others[index]));
}
let answeredAt = new Date();
async function refresh() {
  const lost = document.getElementById('lost');
  try {
    const signal = AbortSignal.timeout(5000);
    const response = await fetch(location.href, { headers: { accept: 'text/html' }, cache: 'no-store', signal });
    if (!response.ok) throw new Error(response.status);
    const fresh = new DOMParser().parseFromString(await response.text(), 'text/html');
    take(document.querySelector('main'), fresh.querySelector('main'));
    document.title = fresh.title;
    answeredAt = new Date();
    lost.hidden = true;
  } catch {
    lost.textContent = 'No answer from the sidecar since ' + answeredAt.toISOString().slice(11, 19) + ' UTC. The data below is from that time.';
    lost.hidden = false;
  }
}
setInterval(() => { if (!document.hidden) refresh(); }, 3000);
document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
`;

// Whole elements, because the policy names what stands in them to the last blank.
export const STYLE = new Html(`<style>${style}</style>`);
export const SCRIPT = new Html(`<script>${script}</script>`);

/** The page's own style and script, and nothing else, wherever it might come from. */
export const PAGE_SECURITY_POLICY = [
  `default-src 'none'`,
  `style-src ${sourceOf(style)}`,
  `script-src ${sourceOf(script)}`,
  `connect-src 'self'`,
  `img-src data:`,
  `base-uri 'none'`,
  `form-action 'none'`,
  `frame-ancestors 'none'`,
].join('; ');

function sourceOf(text: string): string {
  return `'sha256-${hash('sha256', text, 'base64')}'`;
}
