// The embedded pages, /console and /docs, in real browsers: what an operator does, that other pages get
// none of it, and that nothing else is asked.
//
// usage: node tests/browsers/console.mjs --bin PATH [--browser chromium|firefox] [--images DIR]
//   --bin      the server, target/debug/torchfront
//   --images   writes screenshots there (Chromium only)
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { launch } from './browsers.js';
import { accessible, Checks, size, soon, text, until } from './tab.js';
import { Torchfront, freePort } from './torchfront.js';

const { values: given } = parseArgs({
  options: { bin: { type: 'string' }, browser: { type: 'string' }, images: { type: 'string' } },
});
assert(given.bin, 'give --bin target/debug/torchfront');
const APP = 'https://app.example.com';
/** An origin that a hostile client sends; it must stay text. */
const HOSTILE = 'https://<img src=x onerror=document.title=1>';

const folder = mkdtempSync(join(tmpdir(), 'torchfront-console-'));
const store = join(folder, 'store');
mkdirSync(store);
copyFileSync('models/digits.mar', join(store, 'digits.mar'));
copyFileSync('tests/goldens/archives/mlp.mar', join(store, 'mlp.mar'));

/** One request from outside of any browser. */
function send(url, { method = 'GET', headers = {}, body } = {}) {
  return new Promise((done, failed) => {
    const request = http.request(url, { method, headers, agent: false }, (response) => {
      let text = '';
      response.on('data', (piece) => { text += piece; }).on('end', () => done({ status: response.statusCode, text, headers: response.headers }));
    });
    request.on('error', failed).end(body);
  });
}

/** Something to see: predictions, bad input, and refused pages. */
async function traffic({ api }) {
  const seven = readFileSync('models/samples/digit_7_a.png');
  for (let i = 0; i < 30; i += 1) {
    const { status } = await send(`${api}/predictions/digits`, { method: 'POST', body: seven });
    assert.equal(status, 200);
  }
  await send(`${api}/predictions/mlp`, { method: 'POST', body: 'no number' });
  const preflight = (origin, method, more = {}) => send(`${api}/predictions/digits`, { method: 'OPTIONS', headers: { origin, 'access-control-request-method': method, ...more } });
  for (let i = 0; i < 3; i += 1) await preflight('https://evil.example', 'POST');
  await preflight(HOSTILE, 'POST');
  await preflight(APP, 'DELETE');
  await preflight(APP, 'POST', { 'access-control-request-headers': 'x-custom' });
}

// === a tab, and everything that it asks for and says ===

async function open(browser, url, seen, { width = 1200, scheme } = {}) {
  const tab = await browser.newPage();
  if (scheme) await tab.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  await size(tab, width, given.images ? 1.5 : 1);
  tab.on('request', (request) => seen.requests.add(request.url()));
  tab.on('console', (message) => seen.console.push(message.text()));
  tab.on('pageerror', ({ message }) => seen.errors.push(message));
  await tab.goto(url, { waitUntil: 'load' });
  return tab;
}

/** The order in which Tab goes through the controls. */
async function focusOrder(tab, steps) {
  const order = [];
  for (let i = 0; i < steps; i += 1) {
    await tab.keyboard.press('Tab');
    order.push(await tab.evaluate(() => document.activeElement.id || document.activeElement.name || document.activeElement.textContent.slice(0, 20)));
  }
  return order;
}

// === the console ===

const consoleVisits = {
  async 'sees the models with their workers, queues and latencies'({ tab }) {
    await until(tab, '#health', /^healthy$/);
    await until(tab, '#models tbody tr:nth-child(1)', /digits[^]*1 of 1 on cpu[^]*0 of 100/);
    await until(tab, '#models tbody tr:nth-child(2) th', /^mlp/);
    assert.match(await text(tab, '#models tbody tr:nth-child(1)'), /\d+(\.\d+)? (µs|ms|s)/);
    const told = await tab.$eval('#models .bar', (bar) => bar.getAttribute('aria-label'));
    assert.match(told, /^preprocess .*, queue .*, forward .*, postprocess .*, rest /);
    const widths = await tab.$$eval('#models tbody tr:nth-child(1) .bar i', (parts) => parts.map((part) => parseFloat(part.style.width)));
    assert(Math.abs(widths.reduce((sum, width) => sum + width, 0) - 100) < 0.5, String(widths));
  },

  async 'sees a rate while requests come'({ tab, server }) {
    const row = '#models tbody tr:nth-child(1) td:nth-child(5)';
    const before = Number(await text(tab, row));
    await traffic(server);
    await soon(async () => {
      const value = await text(tab, row);
      return { ok: Number(value) === before + 30, value };
    }, 'the answered requests should grow by 30');
  },

  async 'sees the CORS policy in force'({ tab }) {
    await until(tab, '#policy', /inference on[^]*management/i);
    await until(tab, '#policy', /app\.example\.com/);
  },

  async 'sees who was denied, and why, as text'({ tab }) {
    await until(tab, '#denied', /https:\/\/evil\.example[^]*origin_not_listed/);
    await until(tab, '#denied', /<img src=x/);
    await until(tab, '#denied', /method_not_listed: DELETE/);
    assert.equal(await tab.$$eval('#denied img', (images) => images.length), 0);
    assert.equal(await tab.title(), 'Torchfront console');
  },

  async 'lets a denied request be explained'({ tab }) {
    await tab.$$eval('#denied tbody tr', (rows) => rows.find((row) => row.textContent.includes('evil.example')).querySelector('button').click());
    await until(tab, '#conclusion', /^blocked, the request itself is not sent/);
    await until(tab, '#explained', /Preflight: denied, origin_not_listed[^]*HTTP\/1\.1 403/);
    assert.equal(await tab.$eval('#explain', (form) => form.elements.origin.value), 'https://evil.example');
  },

  async 'explains a request of a listed page, with the keyboard alone'({ tab }) {
    await tab.focus('[name=origin]');
    await tab.$eval('[name=origin]', (field) => field.select());
    await tab.keyboard.type(APP);
    await tab.keyboard.press('Enter');
    await until(tab, '#conclusion', /^allowed: the script gets the answer$/);
    assert.deepEqual(await tab.$$eval('#explained li.no', (steps) => steps.length), 0);
    await tab.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
    // Once around, whatever the number of denials.
    const order = new Set(await focusOrder(tab, 40));
    for (const control of ['API', 'pause', 'listener', 'origin', 'method', 'path', 'headers', 'credentials', 'Explain']) {
      assert(order.has(control), `${control} is not reached: ${[...order]}`);
    }
  },

  async 'pauses and resumes'({ tab }) {
    await tab.click('#pause');
    await until(tab, '#pause', /^Resume$/);
    await tab.click('#pause');
    await until(tab, '#pause', /^Pause$/);
  },

  async 'keeps nothing in the browser'({ tab }) {
    assert.deepEqual(await tab.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie]), [0, 0, '']);
  },
};

const docsVisits = {
  async 'sees every route of the document'({ tab, server, address }) {
    const { paths } = JSON.parse((await send(`${address}/openapi.json`)).text);
    const methods = ['get', 'post', 'put', 'patch', 'delete', 'options'];
    const expected = Object.values(paths).flatMap((item) => methods.filter((method) => item[method])).length;
    await until(tab, '#count', new RegExp(`^${expected} operations`));
    assert.equal(await tab.$$eval('details', (all) => all.length), expected);
    return `${expected} operations of ${address === server.api ? 'inference' : 'management'}`;
  },

  async 'finds a route, its parameters, its answers'({ tab, wanted }) {
    await tab.$eval('#filter', (field) => { field.value = ''; });
    await tab.type('#filter', wanted.filter);
    await until(tab, '#count', /^\d+ operations/);
    await tab.evaluate(({ path, method }) => { document.querySelector(`details[data-path="${path}"][data-method="${method}"]`).open = true; }, wanted);
    await until(tab, `details[data-path="${wanted.path}"][data-method="${wanted.method}"] .operation`, wanted.shows);
  },

  async 'tries it and sees the answer'({ tab, wanted }) {
    const at = `details[data-path="${wanted.path}"][data-method="${wanted.method}"]`;
    for (const [name, value] of Object.entries(wanted.fields)) {
      await tab.$eval(`${at} [name="${name}"]`, (field, given) => { field.value = given; }, value);
    }
    await tab.$eval(`${at} form button`, (button) => button.click());
    await until(tab, `${at} .status`, /^200/);
    await until(tab, `${at} .answer`, wanted.answers);
    await until(tab, `${at} .curl`, /^curl -X /);
  },
};

async function withKey(browser, seen) {
  const server = await Torchfront.start(resolve(given.bin), store, { lines: ['disable_token_authorization=false'], models: ['mlp'] });
  try {
    const keys = JSON.parse(readFileSync(join(server.folder, 'key_file.json'), 'utf8'));
    const tab = await open(browser, `${server.management}/console`, seen);
    await until(tab, '#key', /asks for a key/);
    assert.equal(await text(tab, '#models'), '');
    await accessible(tab);
    await tab.type('#key-field', 'wrong');
    await tab.keyboard.press('Enter');
    await until(tab, '#key-error', /./);
    await tab.type('#key-field', keys.management.key);
    await tab.keyboard.press('Enter');
    await until(tab, '#models tbody th', /^mlp/);
    assert.equal(await tab.$eval('#key', (card) => card.checkVisibility()), false);
    assert.deepEqual(await tab.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie]), [0, 0, '']);
    await tab.goto(`${server.api}/docs`, { waitUntil: 'load' });
    await until(tab, '#key-label', /Key/);
    await tab.close();
  } finally {
    await server.stop();
  }
}

/** A page of another origin, which the policy of the management listener lets in. */
async function foreignPage(browser, server, seen, page) {
  const tab = await browser.newPage();
  await tab.goto(page, { waitUntil: 'load' });
  const read = (path) => tab.evaluate(async (url) => {
    try {
      const response = await fetch(url);
      return `${response.status} ${await response.text()}`;
    } catch (error) {
      return String(error);
    }
  }, `${server.management}${path}`);
  assert.match(await read('/models'), /^200/, 'the policy lets this page read');
  for (const path of ['/console/state', `/console/explain?origin=${APP}&path=/`]) {
    assert.match(await read(path), /^403 [^]*Only the console's own page/);
  }
  for (const path of ['/console', '/docs']) {
    const framed = await tab.evaluate((url) => new Promise((done) => {
      const frame = document.createElement('iframe');
      frame.src = url;
      // A refused frame has no document of that page.
      frame.onload = () => done(frame.contentDocument === null ? 'opaque' : frame.contentDocument.body.textContent);
      document.body.append(frame);
      setTimeout(() => done('nothing'), 3000);
    }), `${server.management}${path}`);
    assert(!framed.includes('Console'), framed);
    const frames = tab.frames().filter((frame) => frame !== tab.mainFrame());
    for (const frame of frames) {
      const inside = await frame.evaluate(() => document.title).catch(() => '');
      assert(!inside.startsWith('Torchfront'), `${path} is framed`);
    }
  }
  await tab.close();
  seen.errors.length = 0;
}

async function everyLook(browser, kind, server, seen) {
  const images = kind === 'chromium' && given.images;
  if (images) mkdirSync(images, { recursive: true });
  const looks = [['console', `${server.management}/console`, '#denied table'], ['docs', `${server.api}/docs`, 'details']];
  for (const [what, url, ready] of looks) {
    for (const scheme of kind === 'chromium' ? ['light', 'dark'] : [undefined]) {
      for (const width of [1200, 390]) {
        const tab = await open(browser, url, seen, { width, scheme });
        await soon(async () => ({ ok: (await tab.$(ready)) !== null }), `${what} should have ${ready}`);
        if (what === 'console') {
          await traffic(server);
          await tab.$eval('#explain', (form) => form.requestSubmit());
          await until(tab, '#conclusion', /./);
          await until(tab, '#models tbody tr:nth-child(1) td:nth-child(4)', /[1-9]/);
        } else {
          await tab.$$eval('details', (all) => { all.find((one) => one.dataset.path === '/predictions/digits').open = true; });
        }
        await accessible(tab).catch((error) => { throw new Error(`${what}, ${scheme}, ${width} px: ${error.message}`); });
        if (images) await tab.screenshot({ path: join(images, `${what}-${scheme}-${width}.png`), fullPage: width === 1200 && what === 'console' });
        await tab.close();
      }
    }
  }
}

const checks = new Checks();
const page = http.createServer((_, response) => response.setHeader('content-type', 'text/html').end('<!doctype html><title>other</title><body>other'));
await new Promise((done) => { page.listen(0, '127.0.0.1', done); });
const foreign = `http://127.0.0.1:${page.address().port}`;
const server = await Torchfront.start(resolve(given.bin), store, {
  lines: [`cors.allowed.origin=${APP}`, 'cors.exposed.headers=X-Request-Id, Server-Timing', `management_cors.allowed.origin=${foreign}`],
  models: ['digits', 'mlp'],
});
try {
  await traffic(server);
  for (const kind of given.browser ? [given.browser] : ['chromium', 'firefox']) {
    const browser = await launch(kind, await freePort(), mkdtempSync(join(folder, `${kind}-`)));
    const seen = { requests: new Set(), console: [], errors: [] };
    const check = (name, run) => checks.run(`${kind}: ${name}`, run);
    try {
      // Below a trailing slash, too: the page goes where its links are right.
      let tab = await open(browser, `${server.management}/console/`, seen);
      for (const [name, visit] of Object.entries(consoleVisits)) await check(`console: ${name}`, () => visit({ tab, server }));
      await tab.close();
      for (const [address, wanted] of [
        [server.api, { path: '/predictions/{model_name}', method: 'post', filter: 'predictions', shows: /model_name[^]*Answers[^]*404/, fields: { 'path:model_name': 'mlp', body: '[0.1, -0.2, 0.3, 0.4]' }, answers: /-0\.0025/ }],
        [server.management, { path: '/models/{model_name}', method: 'get', filter: 'models', shows: /customized[^]*modelVersion/, fields: { 'path:model_name': 'mlp' }, answers: /"modelName": "mlp"/ }],
      ]) {
        tab = await open(browser, `${address}/docs`, seen);
        for (const [name, visit] of Object.entries(docsVisits)) await check(`docs: ${name}`, () => visit({ tab, server, address, wanted }));
        await tab.close();
      }
      await check('every look fits and passes axe', () => everyLook(browser, kind, server, seen));
      await check('with tokens the console asks for the management key', () => withKey(browser, seen));
      await check('nothing is asked of any other server, and no script or policy fails', () => {
        const own = [server.api, server.management, 'about:'];
        assert.deepEqual([...seen.requests].filter((url) => !own.some((prefix) => url.startsWith(prefix)) && !/^http:\/\/127\.0\.0\.1:\d+\/(console|docs|openapi\.json|cors)/.test(url)), []);
        assert.deepEqual(seen.errors, []);
        assert.deepEqual(seen.console.filter((line) => /Content.Security.Policy|TrustedHTML/i.test(line)), []);
      });
      await check('a page of another origin reads nothing of it and frames nothing of it', () => foreignPage(browser, server, seen, foreign));
    } finally {
      await browser.close();
    }
  }
} finally {
  await server.stop();
  page.close();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
console.log(checks.failures ? `${checks.failures} failed` : 'console: all passed');
process.exit(checks.failures ? 1 : 0);
