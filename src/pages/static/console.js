// The console of the management listener: models, queues, latency, the CORS policy in force, recent
// denials, and what becomes of a request. Asks this server only, every two seconds while it is seen.
import { Refused, ask, byId, make, table, useKey } from './dom.js';

const EVERY_MS = 2000;
/** Every so many rounds the policy and the denials are asked for, too. */
const CORS_EVERY = 3;
const STEPS = ['preprocess', 'queue', 'forward', 'postprocess'];

/** What the last round gave, by model and version: rates and recent quantiles are differences. */
let before = { at: 0, models: new Map() };
let rounds = 0;
let paused = false;
let timer;

// === numbers ===

const whole = new Intl.NumberFormat('en');

function seconds(value) {
  if (value === null) return '–';
  if (value < 0.001) return `${Math.max(1, Math.round(value * 1e6))} µs`;
  if (value < 1) return `${(value * 1e3).toPrecision(3)} ms`;
  return `${value.toFixed(2)} s`;
}

/** The value below which this part of the observations is, between the bounds of its bucket. */
export function quantile(part, bounds, counts) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  let left = part * total;
  for (const [at, count] of counts.entries()) {
    if (left <= count && count > 0) {
      const from = at === 0 ? 0 : bounds[at - 1];
      // Beyond the last bound nothing is known but that.
      return at < bounds.length ? from + (bounds[at] - from) * (left / count) : from;
    }
    left -= count;
  }
  return bounds.at(-1);
}

/** Seconds of Unix time, in UTC. */
const when = (at) => new Date(at * 1000).toISOString().replace('T', ' ').replace('.000Z', ' UTC');

const minus = (now, then) => (then ? now.map((count, at) => Math.max(0, count - then[at])) : now);

// === models ===

function modelRow(model, bounds, elapsed) {
  const then = before.models.get(`${model.name}\n${model.version}`);
  const { ok, rejected, error, bad_input: bad, expired, cancelled } = model.outcomes;
  const failures = rejected + error + expired;
  const rate = then && elapsed > 0 ? (ok - then.outcomes.ok) / elapsed : null;
  // What happened lately, if something did; else since the start.
  const recent = minus(model.steps.request.counts, then?.steps.request.counts);
  const counts = then && recent.some((count) => count > 0) ? recent : model.steps.request.counts;
  const name = make('span', {}, make('span', { text: model.name }), make('span', { class: 'soft', text: ` ${model.version}${model.default ? ', default' : ''}` }));
  const { ready, max } = model.workers;
  const workers = make('span', { class: ready === 0 ? 'bad' : undefined, text: `${ready} of ${max} on ${model.device}` });
  const { pending, capacity } = model.queue;
  const queue = make('span', { class: pending >= capacity ? 'bad' : undefined, text: `${whole.format(pending)} of ${whole.format(capacity)}` });
  const refused = make('span', {
    class: failures > 0 ? 'bad' : undefined,
    text: whole.format(failures),
    title: `${rejected} rejected, ${error} failed, ${expired} too late; besides ${bad} bad inputs, ${cancelled} cancelled`,
  });
  return [name, workers, queue, rate === null ? '–' : `${rate.toFixed(rate < 10 ? 1 : 0)}/s`, whole.format(ok), refused,
    seconds(quantile(0.5, bounds, counts)), seconds(quantile(0.99, bounds, counts)), timeBar(model)];
}

/** Where the time of an average request went. */
function timeBar(model) {
  const mean = (step) => (model.steps[step].count > 0 ? model.steps[step].sum / model.steps[step].count : 0);
  const parts = STEPS.map((step) => [step, mean(step)]);
  const known = parts.reduce((sum, [, value]) => sum + value, 0);
  const whole_ = Math.max(mean('request'), known);
  if (whole_ === 0) return make('span', { class: 'soft', text: 'nothing yet' });
  parts.push(['rest', whole_ - known]);
  const told = parts.map(([step, value]) => `${step} ${seconds(value)}`).join(', ');
  const bar = make('span', { class: 'bar', role: 'img', 'aria-label': told, title: told });
  for (const [step, value] of parts) {
    const part = make('i', { class: step });
    // Through the object model: the page's policy has no inline styles.
    part.style.width = `${(100 * value) / whole_}%`;
    bar.append(part);
  }
  return bar;
}

function showModels(state) {
  const elapsed = (Date.now() - before.at) / 1000;
  const { healthy, version, bounds, models, more } = state;
  byId('health').textContent = healthy ? 'healthy' : 'unhealthy';
  byId('health').className = `pill ${healthy ? 'good' : 'bad'}`;
  byId('version').textContent = version;
  const heads = ['Model', 'Workers', 'Queue', 'Rate', 'Answered', 'Failed', 'p50', 'p99', 'Where the time goes'];
  byId('models').replaceChildren(models.length > 0
    ? table('Models', heads, models.map((model) => modelRow(model, bounds, elapsed)))
    : make('p', { class: 'soft', text: 'No model is registered.' }));
  byId('models-note').textContent = more > 0 ? `${whole.format(more)} more are not shown` : '';
  before = { at: Date.now(), models: new Map(models.map((model) => [`${model.name}\n${model.version}`, model])) };
}

// === CORS ===

/** A value of the policy as text. */
function shown(value) {
  if (Array.isArray(value)) return value.map(shown).join(', ') || 'none';
  if (value !== null && typeof value === 'object') return Object.entries(value).map(([name, inner]) => `${name}: ${shown(inner)}`).join('; ');
  if (value === true) return 'yes';
  if (value === false) return 'no';
  return value === null || value === '' ? 'none' : String(value);
}

function showPolicy(report) {
  const policies = report.listeners.flatMap(({ policies: all }) => all);
  const card = (policy) => {
    const { listener, policy: label, on, allowed_origins: listed, truncated, origins, mode, methods, headers, exposed, credentials, max_age: age, block, route } = policy;
    const title = label === listener ? listener : `${listener}, ${label}`;
    const rows = on
      ? { origins: `${shown(listed)}${truncated ? `, ... (${whole.format(origins)} in all)` : ''}`, route, mode, methods, headers, exposed, credentials, 'max age': `${age} s`, block }
      : { mode, block };
    const facts = Object.entries(rows).filter(([, value]) => value !== undefined).flatMap(([name, value]) => [make('dt', { text: name }), make('dd', { class: 'mono', text: shown(value) })]);
    return make('div', {},
      make('h3', {}, make('span', { text: `${title} ` }), make('span', { class: `pill ${on ? 'good' : 'soft'}`, text: on ? 'on' : 'off' })),
      make('dl', {}, ...facts));
  };
  byId('policy').replaceChildren(make('div', { class: 'columns' }, ...policies.map(card)));
  byId('policy-note').textContent = `hash ${report.hash}, since ${when(report.since)}, ${whole.format(report.warnings.length)} warnings`;
}

function showDenied({ denied }) {
  const row = (denial) => {
    const { origin, listener, kind, reason, count, detail, last_seen: last } = denial;
    // Refused for its host: no page has sent it, there is nothing to explain.
    const fill = !origin ? '' : make('button', { class: 'small', type: 'button', text: 'Explain', 'aria-label': `Explain a request of ${origin}`, onclick: () => explainDenied(denial) });
    return [origin ? make('span', { class: 'mono', text: origin }) : 'no page: Host', listener, `${kind}`, detail ? `${reason}: ${detail}` : reason, whole.format(count), when(last), fill];
  };
  byId('denied').replaceChildren(denied.length > 0
    ? table('Recent denials', ['Origin', 'Listener', 'Request', 'Reason', 'Times', 'Last', 'Why'], denied.map(row))
    : make('p', { class: 'soft', text: 'None since the server was started.' }));
}

function explainDenied({ origin, listener, reason, detail }) {
  const { elements } = byId('explain');
  elements.listener.value = listener;
  elements.origin.value = origin;
  if (detail && String(reason).startsWith('method')) elements.method.value = detail;
  if (detail && String(reason).startsWith('header')) elements.headers.value = detail;
  byId('explain').requestSubmit();
  byId('explain').scrollIntoView({ block: 'start' });
}

/** One of the CORS views; a server that cannot give it says why in its place. */
async function corsView(path, show, id) {
  try {
    show(await ask(path));
  } catch (error) {
    if (!(error instanceof Refused) || error.wantsKey) throw error;
    byId(id).replaceChildren(make('p', { class: 'soft', text: error.message }));
  }
}

// === explain ===

function exchange(title, { request, answer, verdict, reason }) {
  return make('div', {}, make('h3', { text: `${title}: ${verdict}, ${reason}` }), make('pre', { text: `${request.trim()}\n\n${answer.trim()}` }));
}

async function explain(event) {
  event.preventDefault();
  const form = new FormData(event.target);
  const query = new URLSearchParams();
  for (const name of ['listener', 'origin', 'method', 'path']) query.set(name, String(form.get(name)).trim());
  for (const header of String(form.get('headers')).split(',')) if (header.trim()) query.append('header', header.trim());
  if (form.get('credentials')) query.set('credentials', 'true');
  const into = byId('explained');
  try {
    const told = await ask(`console/explain?${query}`);
    into.replaceChildren(
      make('p', { class: told.allowed ? 'good' : 'bad', id: 'conclusion', text: told.conclusion }),
      make('ol', { class: 'steps' }, ...told.steps.map(({ ok, text }) => make('li', { class: ok ? undefined : 'no', text }))),
      make('div', { class: 'columns' },
        told.preflight ? exchange('Preflight', told.preflight) : undefined,
        told.actual ? exchange('Request', told.actual) : undefined));
    into.className = 'card';
  } catch (error) {
    if (wantsKey(error)) return;
    into.replaceChildren(make('p', { class: 'bad', text: error.message }));
  }
}

// === the rounds ===

function wantsKey(error) {
  if (!(error instanceof Refused && (error.wantsKey || error.status === 429))) return false;
  byId('key-error').textContent = byId('key').hidden ? '' : error.message;
  byId('key').hidden = false;
  byId('health').textContent = 'locked';
  byId('health').className = 'pill soft';
  clearTimeout(timer);
  return true;
}

async function round() {
  clearTimeout(timer);
  if (document.hidden || paused) return;
  try {
    showModels(await ask('console/state'));
    if (rounds % CORS_EVERY === 0) {
      await corsView('cors/policy', showPolicy, 'policy');
      await corsView('cors/denied', showDenied, 'denied');
    }
    rounds += 1;
    byId('key').hidden = true;
    byId('trouble').hidden = true;
  } catch (error) {
    if (wantsKey(error)) return;
    byId('health').textContent = 'unreachable';
    byId('health').className = 'pill bad';
    byId('trouble').textContent = `The server did not answer: ${error.message}`;
    byId('trouble').hidden = false;
  }
  timer = setTimeout(round, EVERY_MS);
}

byId('key-form').addEventListener('submit', (event) => {
  event.preventDefault();
  useKey(byId('key-field').value);
  byId('key-field').value = '';
  rounds = 0;
  round();
});
byId('pause').addEventListener('click', ({ target }) => {
  paused = !paused;
  target.setAttribute('aria-pressed', String(paused));
  target.textContent = paused ? 'Resume' : 'Pause';
  round();
});
byId('explain').addEventListener('submit', explain);
document.addEventListener('visibilitychange', round);
round();
