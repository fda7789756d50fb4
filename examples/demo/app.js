// The page: a pad, the calls it makes, and what is shown of them.

import { Calls } from './calls.js';
import * as explain from './explain.js';
import { DIGITS, Pad } from './pad.js';

const DIGITS_PATH = '/predictions/digits';
const PHOTO_PATH = '/predictions/efficientnet_lite0';

const $ = (id) => document.getElementById(id);
const element = (name, text = '', className = '') => Object.assign(document.createElement(name), { textContent: text, className });
const say = (id, text) => { $(id).textContent = text; };
const here = location.origin;

const facts = await (await fetch('/facts')).json();
const calls = new Calls(facts.api, showLog);
await calls.start();

const pad = new Pad($('pad'), $('cursor'), drawn);
let form = 'image';
let timer = 0;
let usual = 0;
let spoken = 0;
let photo = null;
const turns = {};
// When this page last saw a preflight, by URL and form.
const askedAt = new Map();
// The form whose heads are shown.
let replayed = null;
// The log as shown, newest first; calls and preflights of all time.
const rows = [];
const totals = [0, 0];

// === a drawing ===

function drawn() {
  // On a slow machine later, so that an answer is there before the next question.
  timer ||= setTimeout(classify, Math.min(400, Math.max(50, usual * 1.5)));
}

// Only the latest picture matters: a call that is still under way is given up.
function turn(path) {
  turns[path]?.abort();
  turns[path] = new AbortController();
  return turns[path].signal;
}

async function classify() {
  clearTimeout(timer);
  timer = 0;
  const signal = turn(DIGITS_PATH);
  if (pad.isEmpty) return showDigits(null);
  const sentAs = form;
  try {
    const picture = await pad.png();
    const outcome = await calls.send(DIGITS_PATH, picture, sentAs, signal);
    if (signal.aborted) return;
    usual = outcome.ms;
    showOutcome(outcome);
    showDigits(outcome.status === 200 ? JSON.parse(outcome.text) : null, outcome);
    if (replayed !== sentAs) {
      replayed = sentAs;
      showReplay(await calls.replay(picture, sentAs), outcome);
    }
  } catch (error) {
    if (error.name !== 'AbortError') say('digits-note', `${error.message}. Is the demo still running?`);
  }
}

function showDigits(shares, outcome) {
  const known = Object.entries(shares ?? {}).sort((a, b) => b[1] - a[1]);
  const [best, share] = known[0] ?? ['?', null];
  say('best', best);
  $('best').className = share === null ? 'none' : '';
  say('share', share !== null ? explain.percent(share) : outcome?.error ? 'No answer reached the page.' : '');
  // The archive asks for its best answers only; the others share what is left.
  const rest = Math.max(0, 1 - known.reduce((sum, [, each]) => sum + each, 0));
  const bound = Math.min(rest, known.at(-1)?.[1] ?? 0);
  for (const [digit, row] of [...$('bars').children].entries()) {
    const value = shares?.[digit];
    const text = value === undefined ? (bound < 0.001 ? '< 0.1 %' : `≤ ${explain.percent(bound)}`) : explain.percent(value);
    row.className = String(digit) === best ? 'first' : '';
    fill(row, value ?? 0, shares ? text : '');
  }
  say('digits-note', outcome && !outcome.error && outcome.status !== 200 ? failure(outcome) : '');
  clearTimeout(spoken);
  const said = shares ? `${best}, ${explain.percent(share)}` : outcome?.error ? 'Refused' : '';
  spoken = setTimeout(say, 600, 'said', said);
}

// TorchServe's error body, in one sentence.
function failure(outcome) {
  const { code, type, message } = JSON.parse(outcome.text);
  return `${code} ${type}: ${message}`;
}

function bar(key) {
  const row = element('li');
  const track = element('span', '', 'track');
  track.append(element('i'));
  row.append(element('span', key, 'key'), track, element('span', '', 'value'));
  return row;
}

function fill(row, share, text) {
  row.querySelector('i').style.transform = `scaleX(${share})`;
  row.lastChild.textContent = text;
}

// === a call ===

function showOutcome(outcome) {
  const key = outcome.url + outcome.form;
  if (outcome.asked) askedAt.set(key, performance.now());
  const [word, why] = explain.preflight(outcome, askedAt.get(key), facts.max_age);
  say('latest', `POST ${outcome.url}`);
  say('trip', explain.ms(outcome.ms));
  say('inside', outcome.served ? explain.ms(outcome.served.ms) : '–');
  say('preflight', word);
  say('preflight-why', why);
  showRefusal(outcome);
}

function showRefusal(outcome) {
  $('refused').hidden = !outcome.error;
  if (!outcome.error) return;
  const { title, text } = explain.refusal(outcome, here);
  const line = outcome.asked ?? outcome.served;
  const words = explain.consoleMessage(outcome, here);
  say('refused-title', title);
  say('refused-text', text);
  say('refused-error', `${outcome.error.name}: ${outcome.error.message}`);
  say('refused-log', line ? `${line.method} ${line.path} ${line.status} ${line.cors}` : 'nothing');
  $('refused-console-row').hidden = !words;
  say('refused-console', words);
  $('refused-fix-row').hidden = !line;
  say('refused-fix', explain.fix(outcome, facts, here));
  say('refused-where', `In ${facts.file}; then restart the demo.`);
}

// Equal neighbours share a row: one question, then many calls.
function showLog(lines) {
  for (const line of lines) {
    totals[line.cors?.startsWith('preflight') ? 1 : 0] += 1;
    const name = `${line.method} ${line.path.replace('/predictions/', '')}`;
    const kind = [name, line.status, line.cors].join();
    if (rows[0]?.kind === kind) rows[0] = { ...rows[0], line, count: rows[0].count + 1 };
    else rows.unshift({ kind, name, line, count: 1 });
  }
  rows.length = Math.min(rows.length, 8);
  $('log').replaceChildren(...rows.map(({ name, line, count }) => {
    const row = element('tr');
    row.append(
      element('td', count > 1 ? `${name} ×${count}` : name),
      element('td', line.status, line.status < 400 ? 'yes' : 'no'),
      element('td', explain.ms(line.ms)),
      element('td', explain.verdict(line)),
    );
    return row;
  }));
  say('counts', totals.join(' : '));
}

function showReplay(exchanges, outcome) {
  const { request, response } = exchanges.at(-1);
  const heads = explain.headers(response, outcome);
  $('headers').replaceChildren(...heads.map(({ name, value, why }) => {
    const row = element('tr');
    const word = { always: 'may read', exposed: 'exposed', hidden: 'hidden' }[why];
    row.append(element('td', name), element('td', value), element('td', word, why));
    return row;
  }));
  const hidden = heads.find(({ name, why }) => why === 'hidden' && !name.startsWith('access-control-'))?.name;
  const exposed = facts.exposed_headers ? `${facts.exposed_headers}, ` : '';
  const of = request.startsWith('OPTIONS') ? 'preflight' : 'call';
  $('expose').replaceChildren(...(outcome.error ? [`The answer to the ${of}. The script saw nothing of it.`] : [
    'To let scripts read a hidden one: ', element('code', `cors.exposed.headers=${exposed}${hidden}`),
  ]));
  $('wire').replaceChildren(...exchanges.map((each) => element('pre', `${each.request}\r\n\r\n${each.response}`)));
}

// === a photograph ===

async function lookForPhotoModel() {
  try {
    const answer = await fetch(facts.api + PHOTO_PATH, { method: 'OPTIONS' });
    await calls.refresh();
    if (answer.ok) {
      say('photo-state', 'EfficientNet-Lite0 names 1,000 kinds of things.');
    } else if (answer.status === 404) {
      $('photo-state').append('The model efficientnet_lite0 is not there. Build it with ', element('code', 'make models'), ' (17 MB, seconds), then restart the demo.');
      return;
    }
  } catch {
    say('photo-state', 'This page may not ask which models there are. Try a photograph all the same.');
  }
  $('photo').hidden = false;
}

async function classifyPhoto(file) {
  photo = file;
  const signal = turn(PHOTO_PATH);
  URL.revokeObjectURL($('preview').src);
  $('preview').src = URL.createObjectURL(file);
  $('preview').alt = file.name;
  $('preview').hidden = false;
  $('drop-text').hidden = true;
  say('photo-note', 'Asking the model');
  try {
    const outcome = await calls.send(PHOTO_PATH, file, form, signal);
    if (signal.aborted) return;
    showOutcome(outcome);
    const found = outcome.status === 200 ? Object.entries(JSON.parse(outcome.text)) : [];
    const things = found.map(([name, share]) => [name.replaceAll('_', ' '), share]).sort((a, b) => b[1] - a[1]);
    $('photo-bars').replaceChildren(...things.map(([name, share], i) => {
      const row = bar(name);
      row.className = i ? '' : 'first';
      fill(row, share, explain.percent(share));
      return row;
    }));
    const note = outcome.error ? 'Refused; see above.' : things.length === 0 ? failure(outcome)
      : `${explain.ms(outcome.ms)}, of which ${explain.ms(outcome.served?.ms ?? 0)} in the server`;
    say('photo-note', note);
    say('photo-said', things.length ? `${things[0][0]}, ${explain.percent(things[0][1])}` : note);
  } catch (error) {
    if (error.name !== 'AbortError') say('photo-note', error.message);
  }
}


// === the page ===

function addButton(id, name, pressed) {
  const button = element('button', name);
  button.addEventListener('click', pressed);
  $(id).append(button);
}

for (const { origin, listed } of facts.origins) {
  const link = element('a');
  link.href = `${origin}/`;
  if (origin === here) link.setAttribute('aria-current', 'page');
  link.append(element('code', origin), element('span', listed ? 'listed' : 'not listed', listed ? 'yes' : 'no'));
  // The same drawing, on the other side.
  link.addEventListener('click', () => { link.href = `${origin}/#${pad.toText()}`; });
  $('origins').append(link);
}
$('policy').append('cors.allowed.origin=', element('wbr'), facts.allowed_origin);
$('heads').open = innerWidth > 736;
say('file', `in ${facts.file}`);
say('api', facts.api);
for (const digit of DIGITS.keys()) {
  $('bars').append(bar(digit));
  addButton('samples', digit, () => pad.play(digit));
}
for (const name of facts.photos) {
  addButton('photos', name, async () => {
    const blob = await (await fetch(`/photos/${name}`)).blob();
    classifyPhoto(new File([blob], name, { type: blob.type }));
  });
}
$('clear').addEventListener('click', () => pad.clear());
$('undo').addEventListener('click', () => pad.undo());
$('forms').addEventListener('change', (event) => {
  form = event.target.value;
  if (pad.isEmpty && photo) classifyPhoto(photo);
  else classify();
});
$('copy').addEventListener('click', async () => {
  await navigator.clipboard.writeText($('refused-fix').textContent);
  say('copy', 'Copied');
  setTimeout(say, 1500, 'copy', 'Copy');
});
$('file-input').addEventListener('change', (event) => {
  if (event.target.files[0]) classifyPhoto(event.target.files[0]);
});
for (const [name, over] of [['dragover', true], ['dragleave', false], ['drop', false]]) {
  $('drop').addEventListener(name, (event) => {
    event.preventDefault();
    $('drop').classList.toggle('over', over);
    if (name === 'drop' && event.dataTransfer.files[0]) classifyPhoto(event.dataTransfer.files[0]);
  });
}

showDigits(null);
lookForPhotoModel();
const carried = Pad.fromText(decodeURIComponent(location.hash.slice(1)));
if (carried.length) pad.show(carried);
else pad.play(3);
