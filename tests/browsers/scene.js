// What a scenario holds in its hands: pages of any origin in a context of their own, the server it
// talks to, and what that server logged since the scenario began. Made by run.js for each scenario
// and browser, and closed after it.
//
// A context of its own means no cookie, no cached preflight and no worker of another scenario. It is
// made while the scenario before still runs, because browsers take their time for it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { CALL_IN_PAGE, WORKER_SOURCE } from './pages.js';
import { readFirefoxConsole } from './firefox_console.js';

const CONSOLE_LIMIT_MS = 8_000;
const CONSOLE_POLL_MS = 100;

/** Thrown to say that a browser or server cannot do what the scenario needs, and why. */
export class Skip extends Error {}

export class Scene {
  constructor({ browser, browserName, consolePort, server, origins, ports }) {
    Object.assign(this, { browser, browserName, consolePort, server, origins, ports });
    this.console = [];
    this.closers = [];
    this.api = server.api;
    this.management = server.management;
    this.context = browser.createBrowserContext();
    this.blank = this.context.then((context) => context.newPage());
    // Waited for in `page`; an error is thrown there.
    this.blank.catch(() => {});
  }

  /** The scenario's turn: what the server logs from now on is its own. */
  async begin() {
    this.from = await this.server.mark();
  }

  get isChromium() {
    return this.browserName === 'chromium';
  }

  skip(reason) {
    throw new Skip(reason);
  }

  /**
   * Firefox 153, driven over WebDriver BiDi, remembers no preflight, whatever it is told; Firefox 140
   * did. Skips the scenario when that is what was seen, and nothing else.
   */
  async skipWithoutPreflightCache(requests) {
    const isAskedAgain = requests.filter((request) => request.startsWith('OPTIONS ')).length > 1;
    const version = /^firefox\/(\d+)/i.exec(await this.browser.version());
    if (isAskedAgain && version && Number(version[1]) >= 150) this.skip(`Firefox ${version[1]} remembers no preflight while it is driven`);
  }

  /** A page of an origin (its key in pages.js) or of a full URL. */
  async page(origin = 'app') {
    const page = await (this.blank ?? (await this.context).newPage());
    this.blank = null;
    page.on('console', (message) => this.console.push(message.text()));
    await page.goto(this.origins[origin] ? `${this.origins[origin]}/` : origin);
    await page.evaluate(CALL_IN_PAGE);
    return page;
  }

  /** One request by script in the page; see call_in_page.js for what comes back. */
  call(page, url, options = {}) {
    return page.evaluate((...told) => globalThis.torchfrontCall(...told), url, options);
  }

  /** Opens a page of the origin and does one request in it. */
  async callFrom(origin, url, options) {
    return this.call(await this.page(origin), url, options);
  }

  /** The request by a worker: `own`, `blob` or `data` (its script's URL), or `shared`. */
  inWorker(page, kind, url, options = {}) {
    return page.evaluate(
      (kind, source, told) =>
        new Promise((resolve, reject) => {
          const script = {
            own: () => '/worker.js',
            shared: () => '/worker.js',
            blob: () => URL.createObjectURL(new Blob([source], { type: 'text/javascript' })),
            data: () => `data:text/javascript,${encodeURIComponent(source)}`,
          }[kind]();
          const worker = kind === 'shared' ? new SharedWorker(script) : new Worker(script);
          const port = worker.port ?? worker;
          worker.onerror = () => reject(new Error('the worker did not start'));
          port.onmessage = ({ data }) => resolve(data);
          port.postMessage(told);
        }),
      kind,
      WORKER_SOURCE,
      [url, options],
    );
  }

  /** The request by a frame whose sandbox gives it the origin `null`. */
  inSandbox(page, url, options = {}) {
    return page.evaluate(
      (source, told) =>
        new Promise((resolve) => {
          addEventListener('message', ({ data }) => resolve(data), { once: true });
          const frame = document.createElement('iframe');
          frame.sandbox = 'allow-scripts';
          const json = JSON.stringify(told).replaceAll('<', '\\u003c');
          frame.srcdoc = `<script>${source};torchfrontCall(...${json}).then((seen) => parent.postMessage(seen, '*'))</script>`;
          document.body.append(frame);
        }),
      CALL_IN_PAGE,
      [url, options],
    );
  }

  /** `METHOD status kind/verdict/reason` of what this scenario did at a path, oldest first. */
  async requests(path, listener = 'inference') {
    await this.server.mark();
    return this.entries(path, listener).map(({ method, status, cors }) => `${method} ${status} ${cors ?? '-'}`);
  }

  /** The log lines themselves. */
  entries(path, listener = 'inference') {
    return this.server.log.slice(this.from).filter((entry) => entry.listener === listener && entry.path === path);
  }

  /** Waits for the answer to a request whose page does not wait for it. */
  answered(method, path, listener = 'inference') {
    const fits = (entry) => entry.listener === listener && entry.method === method && entry.path === path;
    return this.server.waitFor(fits, `${method} ${path}`, this.from);
  }

  /** Waits for a message in the developer's console that names the URL and fits. */
  async consoleMessage(pattern, url) {
    const end = Date.now() + CONSOLE_LIMIT_MS;
    for (;;) {
      const messages = this.isChromium ? this.console : await readFirefoxConsole(this.consolePort);
      const found = messages.find((text) => text.includes(url) && pattern.test(text));
      if (found) return found;
      if (Date.now() > end) assert.fail(`no console message fits ${pattern}:\n${messages.filter((text) => text.includes(url)).join('\n')}`);
      await new Promise((resolve) => setTimeout(resolve, CONSOLE_POLL_MS));
    }
  }

  /** A port that leads to the inference API and keeps the heads of the requests that pass. */
  async recorder() {
    const chunks = [];
    const relay = net.createServer((client) => {
      const upstream = net.connect(this.server.ports.inference, '127.0.0.1');
      client.on('data', (chunk) => chunks.push(chunk));
      client.on('error', () => upstream.destroy());
      upstream.on('error', () => client.destroy());
      client.pipe(upstream).pipe(client);
    });
    relay.listen(0, '127.0.0.1');
    await once(relay, 'listening');
    this.closers.push(() => relay.close());
    return {
      port: relay.address().port,
      heads: () => Buffer.concat(chunks).toString('latin1').match(/(GET|POST|OPTIONS) \/[^]*?\r\n\r\n/g) ?? [],
    };
  }

  async close() {
    for (const close of this.closers) await close();
    await (await this.context).close();
  }
}
