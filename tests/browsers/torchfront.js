// The server under test: one process per policy, its answers on free ports, and its access log as a
// list that grows. Called by run.js and by the scenarios (through scene.js).
//
// The log is read from the server's standard output, line by line. `mark` sends one request of its
// own, so that "everything before it" is complete without waiting for a fixed time.
import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';

const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 10_000;
const LOG_LIMIT_MS = 10_000;

/** A start that this version of the server refuses with "not available": its scenarios are skipped. */
export class NotAvailable extends Error {}

/** A port that was free a moment ago. */
export async function freePort() {
  const server = net.createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

export class Torchfront extends EventEmitter {
  /** Starts the server with a policy of policies.js and waits until it answers. */
  static async start(binary, store, policy) {
    // Another program may take a port between our look and the server's bind: then once more.
    for (let attempt = 1; ; attempt += 1) {
      const server = new Torchfront(binary, store, policy);
      try {
        await server.#spawn();
        return server;
      } catch (error) {
        await server.stop();
        if (attempt === 3 || !/address (already )?in use/i.test(error.message)) throw error;
      }
    }
  }

  constructor(binary, store, policy) {
    super();
    this.setMaxListeners(0);
    this.binary = binary;
    this.store = store;
    this.policy = policy;
    this.scheme = policy.scheme ?? 'http';
    this.output = [];
    /** Parsed access log lines, oldest first. */
    this.log = [];
    this.marks = 0;
  }

  /** The inference API as pages name it. */
  get api() {
    return `${this.scheme}://127.0.0.1:${this.ports.inference}`;
  }

  get management() {
    return `http://127.0.0.1:${this.ports.management}`;
  }

  get metrics() {
    return `http://127.0.0.1:${this.ports.metrics}`;
  }

  async #spawn() {
    this.ports = { inference: await freePort(), management: await freePort(), metrics: await freePort() };
    this.folder = fs.mkdtempSync(path.join(os.tmpdir(), 'torchfront-browsers-'));
    const { lines, models, files = {} } = this.policy;
    const key = (line) => line.split('=')[0];
    const own = new Set(lines.map(key));
    const base = [
      `inference_address=${this.scheme}://127.0.0.1:${this.ports.inference}`,
      `management_address=http://127.0.0.1:${this.ports.management}`,
      `metrics_address=http://127.0.0.1:${this.ports.metrics}`,
      `model_store=${this.store}`,
      `load_models=${models.map((model) => `${model}.mar`).join(',')}`,
      'default_workers_per_model=1',
      'disable_token_authorization=true',
      // The log is the pages' own: no lines of the server's questions to itself.
      'cors.selftest=off', 'management_cors.selftest=off', 'metrics_cors.selftest=off',
    ].filter((line) => !own.has(key(line)));
    for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(this.folder, name), text);
    const config = path.join(this.folder, 'config.properties');
    fs.writeFileSync(config, [...base, ...lines, ''].join('\n'));
    this.child = spawn(this.binary, ['--start', '--foreground', '--ncs', '--ts-config', config], {
      cwd: this.folder,
      env: { ...process.env, NO_COLOR: '1', LOG_LOCATION: this.folder, METRICS_LOCATION: this.folder },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.kill = () => this.child.kill('SIGKILL');
    process.on('exit', this.kill);
    this.child.on('error', (error) => this.#line(`cannot run ${this.binary}: ${error.message}`));
    // `close` comes after the last byte of output, `exit` may come before.
    this.closed = new Promise((resolve) => this.child.on('close', resolve));
    for (const stream of [this.child.stdout, this.child.stderr]) {
      readline.createInterface({ input: stream }).on('line', (line) => this.#line(line));
    }
    await this.#started();
  }

  async #started() {
    const ready = this.#output(/Model server started/);
    const ended = this.closed.then(() => 'ended');
    const late = timeout(START_LIMIT_MS);
    const first = await Promise.race([ready, ended, late.promise]);
    late.cancel();
    // A setting that this version cannot honour is a warning or a refusal to start.
    const unavailable = first === 'ended' ? /not available in this version/ : this.policy.unavailable;
    const said = unavailable && this.output.find((line) => unavailable.test(line));
    // Without time, level and the path of the temporary file.
    if (said) throw new NotAvailable(said.replace(/^.*?config\.properties:\d+: /, ''));
    if (first === true) return;
    const text = this.output.join('\n');
    throw new Error(`the server did not start with ${this.policy.lines.join(' | ')}\n${text.slice(-2000)}`);
  }

  #output(pattern) {
    return new Promise((resolve) => {
      const look = (line) => {
        if (!pattern.test(line)) return;
        this.off('output', look);
        resolve(true);
      };
      this.on('output', look);
    });
  }

  #line(line) {
    this.output.push(line);
    const at = line.indexOf('access_log: ');
    if (at >= 0) {
      const entry = parseFields(line.slice(at + 'access_log: '.length));
      this.log.push(entry);
      this.emit('request', entry);
    }
    this.emit('output', line);
  }

  /** Waits until everything that was answered so far is in the log; returns the log's length then. */
  async mark() {
    this.marks += 1;
    const id = `browser-tests-${this.marks}`;
    const line = this.waitFor((entry) => entry.request_id === id, `the mark ${id}`);
    await new Promise((resolve, reject) => {
      // Metrics' listener: no scenario's policy stands in its way, whatever the inference's is.
      const request = http.get(`${this.metrics}/metrics`, { headers: { 'x-request-id': id }, agent: false });
      request.on('response', (response) => response.resume().on('end', resolve));
      request.on('error', reject);
    });
    await line;
    return this.log.length;
  }

  /** The first log line from `from` on that fits, waited for. */
  async waitFor(fits, what, from = this.log.length) {
    const there = this.log.slice(from).find(fits);
    if (there) return there;
    let look;
    const found = new Promise((resolve) => {
      look = (entry) => fits(entry) && resolve(entry);
      this.on('request', look);
    });
    const late = timeout(LOG_LIMIT_MS);
    const entry = await Promise.race([found, late.promise]);
    late.cancel();
    this.off('request', look);
    if (!entry) throw new Error(`the access log never had ${what}`);
    return entry;
  }

  async stop() {
    if (this.child?.pid && this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill('SIGTERM');
      const late = timeout(STOP_LIMIT_MS);
      await Promise.race([this.closed, late.promise]);
      late.cancel();
      this.child.kill('SIGKILL');
    }
    if (this.kill) process.off('exit', this.kill);
    if (this.folder) fs.rmSync(this.folder, { recursive: true, force: true });
  }
}

/** `a=1 b="x y"` as an object of texts. */
function parseFields(text) {
  const fields = {};
  for (const [, name, quoted, plain] of text.matchAll(/(\w+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))/g)) {
    fields[name] = quoted ?? plain;
  }
  return fields;
}

/** Resolves to undefined after the time; cancelled, it keeps no timer alive. */
function timeout(ms) {
  let timer;
  const promise = new Promise((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  return { promise, cancel: () => clearTimeout(timer) };
}
