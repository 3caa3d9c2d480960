// Fills the parts of a page, draws its charts when they come into view, and follows the store while it is visible.
import { narrow, titled } from '/assets/drawing.js';

const views = new WeakMap(), texts = new WeakMap();
const live = document.querySelector('#live'), body = document.body;
const LOST = 'The server does not answer. It may have been stopped; this page tries again.';
let vega, revision = body.dataset.revision, source, timer, busy = false, again = false;

function say(sentence) { if (live.textContent !== sentence) live.textContent = sentence; }

// --- charts ---

function loadVega() {
  vega ??= new Promise((done, failed) => {
    const script = document.createElement('script');
    script.src = '/assets/vega.js';
    script.onload = done;
    script.onerror = failed;
    document.head.append(script);
  });
  return vega;
}

async function draw(figure) {
  const place = figure.querySelector('.chart');
  try {
    const [answer] = await Promise.all([fetch(figure.dataset.spec, { cache: 'no-cache' }), loadVega()]);
    const text = await answer.text();
    if (texts.get(figure) === text) return;
    texts.set(figure, text);
    if (!answer.ok) { message(place, text); return; }
    const spec = JSON.parse(text);
    if (spec.description) figure.setAttribute('aria-label', spec.description);
    if (place.clientWidth < 780) narrow(figure.dataset.name, spec, place.clientWidth);
    const room = document.createElement('div');
    room.setAttribute('aria-hidden', 'true'); // the figure says what it shows
    const { view } = await window.vegaEmbed(room, spec, { renderer: 'svg', ast: true, actions: false,
      defaultStyle: false, tooltip: { disableDefaultStyle: true } });
    views.get(figure)?.finalize();
    views.set(figure, view);
    titled(room, spec.usermeta?.names ?? []);
    place.replaceChildren(room);
    figure.dataset.drawn = '';
  } catch (error) {
    texts.delete(figure);
    message(place, 'This chart could not be drawn: the server does not answer, or its answer cannot be read.');
    console.warn(figure.dataset.name, error);
  }
}

function message(place, text) {
  const line = document.createElement('p');
  line.className = 'note';
  line.textContent = text;
  place.replaceChildren(line);
}

const seen = new IntersectionObserver(entries => {
  for (const entry of entries) {
    entry.target.toggleAttribute('data-seen', entry.isIntersecting);
    if (entry.isIntersecting && !texts.has(entry.target)) draw(entry.target);
  }
}, { rootMargin: '600px' });

function observe(root) { for (const figure of root.querySelectorAll('figure[data-spec]')) seen.observe(figure); }

async function save(button) {
  const figure = button.closest('p').previousElementSibling, view = views.get(figure), form = button.dataset.save;
  if (!view) return;
  const link = document.createElement('a');
  link.download = `${figure.dataset.name}.${form}`;
  link.href = form === 'svg'
    ? URL.createObjectURL(new Blob([await view.toSVG()], { type: 'image/svg+xml' })) : await view.toImageURL('png', 2);
  link.click();
}

// --- parts ---

async function fill(part) {
  let wait = 0;
  try {
    const answer = await fetch(part.dataset.part, { cache: 'no-cache' });
    const text = await answer.text();
    wait = +(answer.headers.get('x-assay-behind') ?? 0);
    if (!answer.ok && !answer.headers.get('content-type')?.startsWith('text/html')) throw new Error(text.slice(0, 300));
    if (texts.get(part) !== text) {
      texts.set(part, text);
      replace(part, text);
    }
    part.dataset.filled = '';
  } catch (error) {
    if (!('filled' in part.dataset)) message(part, `Not available: ${error.message}`);
    say(LOST);
  }
  return wait;
}

// Replaces the content of a part; figures of the same address stay, so that nothing flickers or moves.
function replace(part, text) {
  const made = document.createElement('template');
  made.innerHTML = text;
  for (const figure of made.content.querySelectorAll('figure[data-spec]')) {
    const old = part.querySelector(`#${CSS.escape(figure.id)}`);
    if (old?.dataset.spec === figure.dataset.spec) figure.replaceWith(old);
    else if (old) { // another view: the old picture stays until the new one is there
      old.dataset.spec = figure.dataset.spec;
      figure.replaceWith(old);
      texts.set(old, '');
      draw(old);
    }
  }
  const focused = document.activeElement?.id || document.activeElement?.getAttribute?.('href');
  const inside = part.contains(document.activeElement), tall = part.offsetHeight;
  if (tall) part.style.minHeight = `${tall}px`;
  part.replaceChildren(made.content);
  part.style.minHeight = '';
  observe(part);
  if (inside && focused) [...part.querySelectorAll('a, button, input')]
    .find(one => one.id === focused || one.getAttribute('href') === focused)?.focus({ preventScroll: true });
  for (const facts of part.querySelectorAll('.facts')) titles(facts);
}

function titles(facts) {
  const { state, percent, name } = facts.dataset;
  const sign = { running: `${percent} % `, over: '✓ ', failed: '✗ ' }[state] ?? '';
  document.title = sign + name;
  const icon = { running: 'icon-running', over: 'icon-over', failed: 'icon-failed' }[state] ?? 'icon';
  document.querySelector('#icon').href = `/assets/${icon}.svg`;
}

// --- following the store ---

async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  clearTimeout(timer);
  const begin = performance.now();
  const waits = await Promise.all([...document.querySelectorAll('[data-part]')].map(fill));
  await Promise.all([...document.querySelectorAll('figure[data-seen]')].map(draw));
  for (const figure of document.querySelectorAll('figure[data-spec]:not([data-seen])')) texts.delete(figure);
  const took = performance.now() - begin, wait = Math.max(...waits, 0);
  busy = false;
  say(wait > 0 ? `Newer results are being gathered; charts follow in about ${Math.ceil(wait)} s.` : '');
  body.dataset.refreshed = +(body.dataset.refreshed ?? 0) + 1;
  if (again) { again = false; later(Math.max(took, 50)); }
  else if (wait > 0) later(wait * 1000 + 100);
}

function later(milliseconds) {
  clearTimeout(timer);
  timer = setTimeout(() => { if (!document.hidden) refresh(); }, milliseconds);
}

function follow() {
  source?.close();
  if (document.hidden) { clearTimeout(timer); return; } // a hidden tab fetches nothing
  source = new EventSource('/events');
  source.onmessage = event => {
    const next = JSON.parse(event.data);
    if (next === revision) return;
    const retries = document.querySelector('[data-retry]') && revision !== '';
    revision = next;
    if (retries) { location.reload(); return; } // this page could not be made before
    refresh();
  };
  source.onerror = () => say(LOST);
  source.onopen = () => { if (live.textContent === LOST) say(''); };
}

// --- the view, which is the address ---

const form = document.querySelector('#controls');
const USUAL = { x: 'iteration', y: 'accuracy', smooth: '1', rows: 'configurations' };

function queryOf(data) {
  const query = new URLSearchParams();
  for (const [name, value] of data) if (value !== '' && value !== USUAL[name]) query.append(name, value);
  return query.toString();
}

function show(query, push) {
  const address = location.pathname + (query ? `?${query}` : '');
  if (push && address !== location.pathname + location.search) history.pushState(null, '', address);
  const viewed = ['curve-figure', 'rows'].map(name => document.querySelector(`#part-${name}`)).filter(Boolean);
  for (const part of viewed) {
    part.dataset.part = part.dataset.part.split('?')[0] + (query ? `?${query}` : '');
    fill(part);
  }
}

function fields(query) {
  const given = new URLSearchParams(query);
  for (const field of form?.elements ?? []) {
    if (!field.name) continue;
    if (field.type === 'checkbox') field.checked = given.has(field.name);
    else field.value = given.get(field.name) ?? USUAL[field.name] ?? '';
  }
}

function submit() {
  const data = new FormData(form);
  const query = new URLSearchParams(queryOf(data)), old = new URLSearchParams(location.search);
  for (const name of ['sort', 'start', 'stop']) if (old.has(name) && !query.has(name)) query.set(name, old.get(name));
  if (query.get('rows') !== old.get('rows')) query.delete('sort');
  show(query.toString(), true);
}

form?.addEventListener('submit', event => { event.preventDefault(); submit(); });
form?.addEventListener('change', event => { if (event.target.name !== 'q') submit(); });
let typing;
form?.addEventListener('input', event => {
  if (event.target.name !== 'q') return;
  clearTimeout(typing);
  typing = setTimeout(submit, 120);
});
addEventListener('popstate', () => { fields(location.search); show(location.search.slice(1), false); });

document.addEventListener('click', event => {
  const link = event.target.closest('a[data-view]'), button = event.target.closest('button');
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
    event.preventDefault();
    const query = new URL(link.href, location.href).search.slice(1);
    fields(query);
    show(query, true);
  } else if (button?.dataset.save) save(button);
  else if (button?.dataset.copy) copy(document.querySelector(`#${button.dataset.copy}`).textContent, button);
  else if (button && 'copyAddress' in button.dataset) copy(location.href, button);
});

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    say('Copied.');
  } catch {
    const block = button.dataset.copy && document.querySelector(`#${button.dataset.copy}`);
    if (block) getSelection().selectAllChildren(block);
    say('This browser does not let the page copy; it is selected, or in the address bar.');
  }
}

for (const facts of document.querySelectorAll('.facts[data-state]')) titles(facts);
for (const part of document.querySelectorAll('[data-part]:not([data-filled])')) fill(part).then(wait => {
  if (wait > 0) later(wait * 1000 + 100);
});
observe(document);
document.addEventListener('visibilitychange', follow);
addEventListener('pagehide', () => source?.close());
follow();
body.dataset.ready = '';
