// What the tests of our own pages (console.mjs, demo.mjs) do with a tab, and how they count.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const LIMIT_MS = 15_000;
const PAUSE_MS = 30;
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** Asks until it is so. Puppeteer's own waiting needs eval, which the pages' policy forbids. */
export async function soon(ask, told) {
  const end = Date.now() + LIMIT_MS;
  let found;
  do {
    // What is asked for may not be there yet.
    found = await Promise.resolve().then(ask).catch((error) => ({ ok: false, value: error.message }));
    if (found.ok) return;
    await new Promise((done) => { setTimeout(done, PAUSE_MS); });
  } while (Date.now() < end);
  assert.fail(`${told}; it is ${JSON.stringify(found.value)}`);
}

/** The text of an element as it is seen. */
export const text = (tab, selector) => tab.$eval(selector, (element) => element.innerText);

/** Waits until that text fits. */
export function until(tab, selector, expected) {
  return soon(async () => {
    const value = await tab.evaluate((s) => document.querySelector(s)?.innerText ?? null, selector);
    return { ok: value !== null && expected.test(value), value };
  }, `${selector} should match ${expected}`);
}

export async function size(tab, width, deviceScaleFactor = 1) {
  // Firefox 140 sets the size and then does not know the orientation.
  await tab.setViewport({ width, height: 900, deviceScaleFactor }).catch((error) => {
    if (!error.message.includes('setScreenOrientationOverride')) throw error;
  });
  await soon(async () => {
    const value = await tab.evaluate(() => innerWidth);
    return { ok: value === width, value };
  }, `the window should be ${width} px wide`);
}

/** Every control has a name, nothing is wider than the window, and axe finds nothing. */
export async function accessible(tab) {
  const nameless = await tab.evaluate(() => {
    const named = (element) => element.getAttribute('aria-label') || element.labels?.[0]?.textContent.trim() || element.textContent.trim();
    return [...document.querySelectorAll('a, button, input, summary, [tabindex]')].filter((element) => !named(element)).map((element) => element.outerHTML);
  });
  assert.deepEqual(nameless, [], 'controls without a name');
  const wide = await tab.evaluate(() => document.documentElement.scrollWidth > innerWidth
    && [...document.querySelectorAll('body *')].filter((element) => element.getBoundingClientRect().right > innerWidth && !element.closest('.scroll')).map((element) => `${element.localName}#${element.id}.${element.className}`));
  assert(!wide, `wider than the window: ${wide}`);
  await tab.evaluate(AXE);
  const { violations } = await tab.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const told = violations.map(({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join(' | ')}`);
  assert.deepEqual(told, [], 'axe');
}

/** Runs checks one after the other, prints each, and counts those that fail. */
export class Checks {
  failures = 0;

  async run(name, check) {
    try {
      const note = await check();
      console.log(`ok    ${name}${note ? ` (${note})` : ''}`);
    } catch (error) {
      this.failures += 1;
      console.log(`FAIL  ${name}\n      ${error.message}`);
    }
  }
}
