// Runs every scenario in Chromium, then in Firefox, against a real server.
//
// usage: node run.js --bin PATH [--browser chromium|firefox] [--only TEXT] [--policy NAME] [--verbose]
//        node run.js --table      prints README.md's table
//
// The last line is `N passed, N failed`, `, N skipped` behind it when there are any; the exit status
// is 0 only when none failed.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BROWSERS, launch } from './browsers.js';
import { makeCertificate, startPages } from './pages.js';
import { POLICIES } from './policies.js';
import { Scene, Skip } from './scene.js';
import { SCENARIOS } from './scenarios/index.js';
import { freePort, NotAvailable, Torchfront } from './torchfront.js';

/** Log lines shown with a failure. */
const SHOWN = 12;
const SCENARIO_LIMIT_MS = 120_000;
const CLOSE_LIMIT_MS = 5_000;
const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));

const { values: options } = parseArgs({
  options: {
    bin: { type: 'string' },
    browser: { type: 'string' },
    only: { type: 'string' },
    policy: { type: 'string' },
    verbose: { type: 'boolean', short: 'v', default: false },
    table: { type: 'boolean', default: false },
  },
});

const counts = { passed: 0, failed: 0, skipped: 0 };

/** README.md's table, so that the list of scenarios and its description cannot drift apart. */
function table() {
  const row = ({ id, policy, what, expect, seed }) => `| ${id} | ${policy} | ${what} | ${expect} | ${seed ?? ''} |`;
  return ['| id | policy | what the page does | what must happen | cors.md |', '|---|---|---|---|---|', ...SCENARIOS.map(row)].join('\n');
}

function checkScenarios() {
  const ids = new Set();
  for (const { id, policy } of SCENARIOS) {
    if (ids.has(id)) throw new Error(`two scenarios are named ${id}`);
    if (!POLICIES[policy]) throw new Error(`${id}: there is no policy ${policy}`);
    ids.add(id);
  }
  const readme = fs.readFileSync(new URL('./README.md', import.meta.url), 'utf8');
  if (!readme.includes(table())) {
    throw new Error('README.md does not have the table of `node run.js --table`; replace it');
  }
}

/** One folder with the archives of the goldens and the digit classifier. */
function makeStore() {
  const store = fs.mkdtempSync(path.join(os.tmpdir(), 'torchfront-store-'));
  const goldens = path.join(REPOSITORY, 'tests/goldens/archives');
  for (const name of ['mlp', 'echo', 'slow', 'error_on_negative']) {
    fs.copyFileSync(path.join(goldens, `${name}.mar`), path.join(store, `${name}.mar`));
  }
  fs.copyFileSync(path.join(REPOSITORY, 'models/digits.mar'), path.join(store, 'digits.mar'));
  return store;
}

async function startServer(name, world) {
  const { origins, ports } = world.pages;
  return Torchfront.start(world.binary, world.store, POLICIES[name](origins, ports, world.certificate));
}

async function runScenario(scenario, scene, { browserName }, server) {
  const name = `${browserName} ${scenario.id}`;
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('took too long')), SCENARIO_LIMIT_MS);
  });
  const started = Date.now();
  try {
    await scene.begin();
    await Promise.race([scenario.run(scene), late]);
    counts.passed += 1;
    if (options.verbose) console.log(`ok    ${name} (${Date.now() - started} ms)`);
  } catch (error) {
    if (error instanceof Skip) return skipped(name, error.message);
    counts.failed += 1;
    console.log(`FAIL  ${name}: ${scenario.what}; ${scenario.expect}\n${indent(error.stack)}`);
    const log = server.log.slice(scene.from).filter(({ request_id: id }) => !id?.startsWith('browser-tests-')).slice(-SHOWN);
    console.log(indent(['the server saw:', ...log.map((entry) => JSON.stringify(entry))].join('\n')));
    if (scene.console.length) console.log(indent(['the console had:', ...scene.console].join('\n')));
  } finally {
    clearTimeout(timer);
  }
}

function skipped(name, reason) {
  counts.skipped += 1;
  console.log(`skip  ${name}: ${reason}`);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms).unref());

const indent = (text) => text.replaceAll(/^/gm, '      ');

/** None of them could run. The reason is said once. */
function allFailed(browserName, scenarios, reason) {
  counts.failed += scenarios.length;
  console.log(`FAIL  ${browserName}, ${scenarios.length} scenarios: ${scenarios.map(({ id }) => id).join(' ')}\n${indent(reason)}`);
}

async function runBrowser(browserName, scenarios, world) {
  const consolePort = await freePort();
  const home = fs.mkdtempSync(path.join(os.tmpdir(), `torchfront-${browserName}-`));
  try {
    const browser = await launch(browserName, consolePort, home).catch((error) => {
      allFailed(browserName, scenarios, `${browserName} did not start: ${error.message}`);
    });
    if (browser) await runPolicies(scenarios, { ...world, browser, browserName, consolePort });
  } finally {
    fs.rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function runPolicies(scenarios, world) {
  const { browser, browserName } = world;
  const started = Date.now();
  const before = { ...counts };
  try {
    console.log(`${browserName}: ${await browser.version()}`);
    for (const policy of Object.keys(POLICIES)) {
      const chosen = scenarios.filter((scenario) => scenario.policy === policy);
      if (chosen.length) await runPolicy(policy, chosen, world);
    }
  } finally {
    await browser.close().catch(() => browser.process()?.kill('SIGKILL'));
  }
  const seconds = Math.round((Date.now() - started) / 1000);
  console.log(`${browserName}: ${counts.passed - before.passed} scenarios passed, ${counts.failed - before.failed} failed, ${seconds} s`);
}

async function runPolicy(policy, scenarios, world) {
  let server;
  try {
    server = await startServer(policy, world);
  } catch (error) {
    if (!(error instanceof NotAvailable)) return allFailed(world.browserName, scenarios, error.message);
    for (const { id } of scenarios) skipped(`${world.browserName} ${id}`, error.message);
    return;
  }
  const { browser, browserName, consolePort, pages } = world;
  const scene = () => new Scene({ browser, browserName, consolePort, server, ...pages });
  const closing = [];
  let next = scene();
  try {
    for (const [at, scenario] of scenarios.entries()) {
      const now = next;
      if (at + 1 < scenarios.length) next = scene();
      await runScenario(scenario, now, world, server);
      closing.push(now.close().catch(() => {}));
    }
  } finally {
    await Promise.race([Promise.all(closing), pause(CLOSE_LIMIT_MS)]);
    await server.stop();
  }
}

async function main() {
  if (options.table) return console.log(table());
  if (!options.bin) throw new Error('usage: node run.js --bin PATH [--browser NAME] [--only TEXT] [--policy NAME] [--verbose]');
  checkScenarios();
  fs.accessSync(options.bin, fs.constants.X_OK);
  const scenarios = SCENARIOS.filter(
    ({ id, policy }) => (!options.only || id.includes(options.only)) && (!options.policy || policy === options.policy),
  );
  const certificate = makeCertificate();
  const store = makeStore();
  const pages = await startPages(certificate);
  const world = { binary: path.resolve(options.bin), certificate, store, pages };
  try {
    for (const name of BROWSERS) {
      if (!options.browser || options.browser === name) await runBrowser(name, scenarios, world);
    }
  } finally {
    await pages.stop();
    certificate.remove();
    fs.rmSync(store, { recursive: true, force: true });
  }
  const { passed, failed, skipped: left } = counts;
  console.log(`${passed} passed, ${failed} failed${left ? `, ${left} skipped` : ''}`);
  if (failed || passed + left === 0) process.exitCode = 1;
}

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));
await main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
