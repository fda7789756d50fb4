// The demo in real browsers: what a visitor does, and that nothing else happens.
//
// usage: node tests/browsers/demo.mjs --bin PATH [--browser chromium|firefox] [--images DIR]
//   --bin      the example, target/release/examples/demo
//   --browser  only this one; default: both
//   --images   writes screenshots there (Chromium only; takes the demo's usual ports)
//
// Needs `chromium`, `firefox-esr` and the packages of this folder: `sh .make/browsers` installs them. Run
// from the checkout.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { launch } from './browsers.js';
import { accessible, Checks, size, soon, text, until } from './tab.js';
import { freePort } from './torchfront.js';

const { values: given } = parseArgs({
  options: { bin: { type: 'string' }, browser: { type: 'string' }, images: { type: 'string' } },
});
assert(given.bin, 'give --bin target/release/examples/demo');
const photoModel = existsSync('models/efficientnet_lite0.mar');

// === the demo, on ports of its own ===

const folder = mkdtempSync(join(tmpdir(), 'torchfront-demo-'));
const [page, inference, management, metrics] = given.images ? [5173, 8080, 8081, 8082] : [await freePort(), await freePort(), await freePort(), await freePort()];
const config = given.images ? 'examples/demo/demo.properties' : join(folder, 'demo.properties');
const listed = `http://localhost:${page}`;
const unlisted = `http://127.0.0.1:${page}`;
const api = `http://127.0.0.1:${inference}`;
if (!given.images) {
  writeFileSync(config, readFileSync('examples/demo/demo.properties', 'utf8')
    .replace(/^inference_address=.*/m, `inference_address=${api}`)
    .replace(/^management_address=.*/m, `management_address=http://127.0.0.1:${management}`)
    .replace(/^metrics_address=.*/m, `metrics_address=http://127.0.0.1:${metrics}`)
    .replace(/^cors.allowed.origin=.*/m, `cors.allowed.origin=${listed}`));
}

async function startDemo() {
  const demo = spawn(resolve(given.bin), ['--ts-config', config, '--port', String(page)], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise((started, failed) => {
    let said = '';
    demo.stdout.on('data', (text) => { said += text; if (said.includes('Ctrl-C')) started(); });
    demo.on('exit', (code) => failed(new Error(`the demo ended with ${code}`)));
  });
  return demo;
}

// === a browser, and everything it asks for and says ===

async function open(browser, url, seen) {
  const tab = await browser.newPage();
  await size(tab, 1200);
  tab.on('request', (request) => seen.requests.add(request.url()));
  tab.on('console', (message) => seen.console.push(message.text()));
  // Firefox hands out what it says about CORS as errors of the page.
  tab.on('pageerror', ({ message }) => (message.startsWith('Cross-Origin Request Blocked') ? seen.console : seen.errors).push(message));
  await tab.goto(url, { waitUntil: 'load' });
  return tab;
}

async function shows(tab, selector, visible) {
  await soon(async () => {
    const value = await tab.$eval(selector, (element) => element.checkVisibility());
    return { ok: value === visible, value };
  }, `whether ${selector} is seen should be ${visible}`);
}

// Points are of a square of 1 x 1.
async function drawStroke(tab, points) {
  const pad = await tab.$('#pad');
  await pad.scrollIntoView();
  const box = await pad.boundingBox();
  const at = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];
  await tab.mouse.move(...at(points[0]));
  await tab.mouse.down();
  for (const point of points.slice(1)) await tab.mouse.move(...at(point), { steps: 12 });
  await tab.mouse.up();
}

const SEVEN = [[0.28, 0.24], [0.7, 0.22], [0.44, 0.82]];
// The animated example has been drawn: the calls have come to rest.
async function settle(tab) {
  let [before, now] = [null, await text(tab, '#counts')];
  while (before !== now) {
    await new Promise((done) => { setTimeout(done, 500); });
    [before, now] = [now, await text(tab, '#counts')];
  }
}

async function finds(seen, line) {
  await soon(() => ({ ok: line !== '' && seen.console.includes(line), value: seen.console }), `the console should have "${line}"`);
}

// === what a visitor does ===

const visits = {
  async 'sees a digit being read as soon as the page is there'({ tab }) {
    await until(tab, '#best', /^3$/);
    await shows(tab, '#refused', false);
    await settle(tab);
  },

  async 'draws a seven with the mouse and sees 7 first'({ tab }) {
    await drawStroke(tab, SEVEN);
    await until(tab, '#best', /^7$/);
    await until(tab, '#bars .first .key', /^7$/);
    await until(tab, '#said', /^7, /);
    assert.equal(await tab.$$eval('#bars li', (rows) => rows.length), 10);
  },

  async 'draws a one with the keys'({ tab }) {
    await tab.focus('#pad');
    await tab.keyboard.press('Delete');
    await until(tab, '#best', /^\?$/);
    for (let i = 0; i < 8; i += 1) await tab.keyboard.press('ArrowUp');
    await tab.keyboard.press(' ');
    for (let i = 0; i < 16; i += 1) await tab.keyboard.press('ArrowDown');
    await tab.keyboard.press(' ');
    await until(tab, '#best', /^1$/);
  },

  async 'draws every example and sees it read'({ tab }) {
    for (let digit = 0; digit < 10; digit += 1) {
      await tab.click(`#samples button:nth-child(${digit + 1})`);
      await until(tab, '#best', new RegExp(`^${digit}$`));
    }
    await settle(tab);
  },

  async 'sees one preflight for many calls, and none for text/plain'({ tab }) {
    await tab.click('#clear');
    await until(tab, '#best', /^\?$/);
    await drawStroke(tab, SEVEN);
    await until(tab, '#best', /^7$/);
    await until(tab, '#preflight', /^cached$/);
    await settle(tab);
    const before = (await text(tab, '#counts')).split(' : ')[1];
    await tab.click('input[value=simple]');
    await until(tab, '#preflight', /^not needed$/);
    assert.equal((await text(tab, '#counts')).split(' : ')[1], before);
  },

  async 'reads X-Request-Id, which is exposed, and not Date, which is not'({ tab }) {
    const of = (name) => tab.$$eval('#headers tr', (rows, wanted) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)).find((row) => row[0] === wanted)?.[2], name);
    await until(tab, '#headers', /x-request-id/);
    assert.match(await of('x-request-id'), /exposed/);
    assert.equal(await of('content-type'), 'may read');
    assert.equal(await of('date'), 'hidden');
    assert.equal(await text(tab, '#expose code').then((line) => line.startsWith('cors.exposed.headers=X-Request-Id, ')), true);
  },

  async 'is refused a header of its own, and told the line that allows it'({ tab }) {
    await tab.click('input[value=header]');
    await shows(tab, '#refused', true);
    await until(tab, '#refused-error', /^TypeError: /);
    await until(tab, '#refused-log', /OPTIONS .* 403 preflight\/denied\/headers_not_listed/);
    await until(tab, '#refused-fix', /^cors\.allowed\.headers=X-Custom-Token$/);
    await tab.click('input[value=image]');
    await shows(tab, '#refused', false);
  },

  async 'drops a photograph and sees what is on it'({ tab }) {
    if (!photoModel) {
      await until(tab, '#photo-state', /make models/);
      return 'only the hint: the model is not built';
    }
    await shows(tab, '#photo', true);
    const photo = readFileSync('models/samples/photos/flower.jpg').toString('base64');
    await tab.$eval('#drop', (zone, data) => {
      const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
      const files = new DataTransfer();
      files.items.add(new File([bytes], 'flower.jpg', { type: 'image/jpeg' }));
      zone.dispatchEvent(new DragEvent('drop', { dataTransfer: files, bubbles: true, cancelable: true }));
    }, photo);
    await until(tab, '#photo-note', / ms in the server$/);
    assert.equal(await tab.$$eval('#photo-bars li', (rows) => rows.length), 5);
    const expected = JSON.parse(readFileSync('tests/goldens/efficientnet_lite0.json', 'utf8'));
    const best = (await text(tab, '#photo-bars .first .key')).replaceAll(' ', '_');
    assert(JSON.stringify(expected).includes(`"${best}"`), best);
    return best;
  },

  async 'goes to the origin that is not listed and is refused with the same drawing'({ tab, seen }) {
    await settle(tab);
    seen.console.length = 0;
    await Promise.all([tab.waitForNavigation(), tab.click('#origins a:not([aria-current])')]);
    assert.equal(new URL(tab.url()).origin, unlisted);
    await shows(tab, '#refused', true);
    await until(tab, '#refused-title', /is not listed$/);
    await until(tab, '#refused-error', /^TypeError: /);
    await until(tab, '#refused-log', /^OPTIONS \/predictions\/digits 403 preflight\/denied\/origin_not_listed$/);
    assert.equal(await text(tab, '#refused-fix'), `cors.allowed.origin=${listed}, ${unlisted}`);
    await until(tab, '#best', /^\?$/);
  },

  async 'finds in the console what the page says is there'({ tab, seen }) {
    await finds(seen, await text(tab, '#refused-console'));
  },

  async 'sees that a simple request is served all the same, and kept from it'({ tab, seen }) {
    await tab.click('input[value=simple]');
    await until(tab, '#refused-title', /^Served, and kept from this page$/);
    await until(tab, '#refused-log', /^POST \/predictions\/digits 200 actual\/denied\/origin_not_listed$/);
    await finds(seen, await text(tab, '#refused-console'));
  },
};

async function everyLook(browser, kind, seen) {
  const images = kind === 'chromium' && given.images;
  if (images) mkdirSync(images, { recursive: true });
  for (const [url, what] of [[listed, 'served'], [unlisted, 'refused']]) {
    for (const scheme of ['light', 'dark']) {
      for (const width of [1200, 390, 360]) {
        const tab = await open(browser, 'about:blank', seen);
        if (kind === 'chromium') await tab.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
        await size(tab, width, images && width === 390 ? 2 : 1);
        await tab.goto(url, { waitUntil: 'load' });
        if (what === 'served') {
          await until(tab, '#best', /^3$/);
          await tab.click('#samples button:nth-child(8)');
          await until(tab, '#best', /^7$/);
          if (photoModel) {
            await tab.click('#photos button');
            await until(tab, '#photo-note', / ms in the server$/);
          }
        } else {
          await shows(tab, '#refused', true);
        }
        await until(tab, '#headers', /content-type/);
        await settle(tab);
        await accessible(tab).catch((error) => { throw new Error(`${what}, ${scheme}, ${width} px: ${error.message}`); });
        if (images) {
          await tab.evaluate(() => scrollTo(0, 0));
          await tab.screenshot({ path: join(images, `${what}-${scheme}-${width}.png`), fullPage: true });
          // The upper part, for the README: up to the end of the drawing, or of the explanation.
          if (width === 1200 && (scheme === 'light') === (what === 'served')) {
            const end = await tab.$eval(what === 'served' ? '.draw' : '#refused', (card) => card.getBoundingClientRect().bottom);
            await size(tab, width, 1.5);
            await tab.screenshot({ path: join(images, `demo-${what}.png`), clip: { x: 0, y: 0, width, height: Math.round(end) + 12 } });
          }
        }
        await tab.close();
        // Firefox cannot be told the colour scheme.
        if (kind === 'firefox' && scheme === 'dark') break;
      }
    }
  }
}

const checks = new Checks();
let demo;
try {
  demo = await startDemo();
  demo.removeAllListeners('exit');
  for (const kind of given.browser ? [given.browser] : ['chromium', 'firefox']) {
    const browser = await launch(kind, await freePort(), mkdtempSync(join(folder, `${kind}-`)));
    const seen = { requests: new Set(), console: [], errors: [] };
    const check = (name, run) => checks.run(`${kind}: ${name}`, run);
    try {
      const tab = await open(browser, `${listed}/`, seen);
      for (const [name, visit] of Object.entries(visits)) await check(name, () => visit({ tab, seen }));
      await tab.close();
      await check('every look has names, fits, and passes axe', () => everyLook(browser, kind, seen));
      await check('nothing is asked of any other server, and no script fails', () => {
        const own = [listed, unlisted, api, 'data:', 'blob:', 'about:'];
        const foreign = [...seen.requests].filter((url) => !own.some((prefix) => url.startsWith(prefix)));
        assert.deepEqual(foreign, []);
        assert.deepEqual(seen.errors, []);
        assert.deepEqual(seen.console.filter((line) => /Content.Security.Policy/i.test(line)), []);
        assert([...seen.requests].some((url) => url.startsWith(api)), 'the API was never asked');
      });
    } finally {
      await browser.close();
    }
  }
  const ended = new Promise((done) => { demo.on('exit', done); });
  demo.kill('SIGINT');
  await checks.run('Ctrl-C ends both servers', async () => assert.equal(await ended, 0));
} finally {
  demo?.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
process.exit(checks.failures ? 1 : 0);
