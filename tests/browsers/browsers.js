// Starts the two browsers, headless, each with a fresh profile and without any network but this
// machine. Called by run.js; the rest of the tests sees only puppeteer's Browser.
//
// Names under `.test` do not look like loopback names, yet they lead here: that is how a page of
// "another machine" is made without one.
import fs from 'node:fs';
import puppeteer from 'puppeteer-core';

/** Names that the browsers resolve to 127.0.0.1. */
export const MAPPED_NAMES = ['app.test', 'api.test', 'foreign.test'];

const CANDIDATES = {
  chromium: [
    process.env.CHROMIUM,
    '/usr/bin/chromium',
    '/usr/bin/chromium-browser',
    '/usr/bin/google-chrome',
    '/Applications/Chromium.app/Contents/MacOS/Chromium',
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  ],
  firefox: [
    process.env.FIREFOX,
    '/usr/bin/firefox-esr',
    '/usr/bin/firefox',
    '/Applications/Firefox.app/Contents/MacOS/firefox',
  ],
};

/** The browsers in the order in which they run. */
export const BROWSERS = Object.keys(CANDIDATES);

/** The program of a browser; throws with the command that installs it. */
export function programOf(name) {
  const found = CANDIDATES[name].find((path) => path && fs.existsSync(path));
  if (found) return found;
  const variable = name.toUpperCase();
  throw new Error(`${name} is not installed: apt-get install chromium firefox-esr, or set ${variable} to its program`);
}

/**
 * Starts a browser. Firefox also listens for its console on `consolePort`. `home` is an empty folder:
 * nothing of the person who runs the tests is read, and Firefox does not start for root in the home
 * of somebody else.
 */
export async function launch(name, consolePort, home) {
  const options = name === 'firefox' ? firefoxOptions(consolePort) : chromiumOptions();
  const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith('XDG_')));
  return puppeteer.launch({
    env: { ...env, HOME: home },
    executablePath: programOf(name),
    headless: true,
    acceptInsecureCerts: true,
    // A debugging call that takes longer is a browser that hangs.
    protocolTimeout: 100_000,
    ...options,
  });
}

function chromiumOptions() {
  const args = [
    '--headless',
    '--disable-gpu',
    '--disable-quic',
    '--disable-dev-shm-usage',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--ignore-certificate-errors',
    `--host-resolver-rules=${MAPPED_NAMES.map((host) => `MAP ${host} 127.0.0.1`).join(', ')}`,
  ];
  // Chromium's sandbox refuses to run as root, as in a container.
  if (process.getuid?.() === 0) args.push('--no-sandbox');
  return { browser: 'chrome', args };
}

function firefoxOptions(consolePort) {
  return {
    browser: 'firefox',
    args: ['-start-debugger-server', String(consolePort)],
    extraPrefsFirefox: {
      'network.dns.localDomains': MAPPED_NAMES.join(','),
      // Top-level JSON stays a document of its own origin instead of Firefox's viewer.
      'devtools.jsonview.enabled': false,
      'devtools.debugger.remote-enabled': true,
      'devtools.debugger.prompt-connection': false,
      'devtools.chrome.enabled': true,
      // One process for all pages instead of one for each site: half the time of a run. What CORS
      // permits is decided in the browser's parent process either way.
      'fission.autostart': false,
      'dom.ipc.processCount': 1,
      'dom.ipc.processPrelaunch.enabled': false,
    },
  };
}
