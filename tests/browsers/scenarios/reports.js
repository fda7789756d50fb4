// The script /cors/rum.js in a page, and what the server counts of its report.
import assert from 'node:assert/strict';
import { assertNumbers, assertRefused, FOUR_NUMBERS, postJson, postText } from '../samples.js';

const MLP = '/predictions/mlp';
const SCRIPT = '/cors/rum.js';
const REPORT = '/cors/report';

const scenario = (id, what, expect, run, seed) => ({ id, policy: 'reports', what, expect, seed, run });

/** Loads the script into the page as a tag would. */
function include(page, url, expected) {
  return page.evaluate(
    (src, expect) =>
      new Promise((resolve, reject) => {
        const script = document.createElement('script');
        if (expect) script.dataset.expect = expect;
        script.onload = () => resolve();
        script.onerror = () => reject(new Error('the script did not load'));
        script.src = src;
        document.head.append(script);
      }),
    url,
    expected,
  );
}

/** `outcome origin` -> how often, of what browsers have reported. */
async function reported(t) {
  const text = await (await fetch(`${t.server.metrics}/metrics`)).text();
  const counts = {};
  for (const [, labels, value] of text.matchAll(/^ts_cors_client_events_total\{(.*)\} (\S+)$/gm)) {
    const label = (name) => labels.match(`${name}="([^"]*)"`)[1];
    counts[`${label('outcome')} ${label('origin')}`] = Number(value);
  }
  return counts;
}

/** What came since `before`; nothing that stayed as it was. */
async function reportedSince(t, before) {
  const now = await reported(t);
  const grown = Object.entries(now).map(([key, count]) => [key, count - (before[key] ?? 0)]);
  return Object.fromEntries(grown.filter(([, count]) => count));
}

/** Leaves the page, which reports then, and waits for the report. */
async function leave(t, page) {
  // The script's question to /ping is behind this one.
  await page.evaluate(async (url) => {
    await fetch(url, { mode: 'no-cors', cache: 'no-store' });
    await new Promise((resolve) => setTimeout(resolve, 300));
  }, `${t.api}/ping`);
  await page.goto('about:blank');
  await t.answered('POST', REPORT);
}

export default [
  scenario('report-of-a-listed-page', 'includes /cors/rum.js; makes a good call, one with an unlisted header, one with credentials, a text POST', 'each failure is a TypeError as ever; the metrics have two `ok`, one `preflight_blocked` and one `credentials` of its origin', async (t) => {
    const before = await reported(t);
    const page = await t.page();
    await include(page, t.api + SCRIPT);
    assertNumbers(await t.call(page, t.api + MLP, postJson(FOUR_NUMBERS)));
    assertRefused(await t.call(page, t.api + MLP, postJson(FOUR_NUMBERS, { headers: { 'X-Unlisted': 'a' } })));
    assertRefused(await t.call(page, t.api + MLP, { credentials: 'include' }));
    assertNumbers(await t.call(page, t.api + MLP, postText(FOUR_NUMBERS)));
    await leave(t, page);
    const { app } = t.origins;
    assert.deepEqual(await reportedSince(t, before), { [`credentials ${app}`]: 1, [`ok ${app}`]: 2, [`preflight_blocked ${app}`]: 1 });
    // Nothing that failed was sent again.
    assert.equal((await t.requests(MLP)).filter((request) => request.startsWith('POST ')).length, 2);
  }, 'M1, U4'),

  scenario('report-of-a-foreign-page', 'includes it in a page that no list has; POSTs JSON and text', 'the report of the refused page arrives: one `preflight_blocked`, one `blocked`, unlisted', async (t) => {
    const before = await reported(t);
    const page = await t.page('foreign');
    await include(page, t.api + SCRIPT);
    assertRefused(await t.call(page, t.api + MLP, postJson(FOUR_NUMBERS)));
    assertRefused(await t.call(page, t.api + MLP, postText(FOUR_NUMBERS)));
    await leave(t, page);
    assert.deepEqual(await reportedSince(t, before), { 'blocked _unlisted': 1, 'preflight_blocked _unlisted': 1 });
    assert.equal(t.entries(REPORT)[0].origin, t.origins.foreign);
  }, 'M1, U4'),

  scenario('report-of-a-hidden-header', 'includes it with `data-expect`, a header that the answer has and the policy does not expose', 'the call is good; the metrics have one `missing_header`', async (t) => {
    const before = await reported(t);
    const page = await t.page();
    await include(page, t.api + SCRIPT, 'X-Request-Id, Server-Timing');
    assertNumbers(await t.call(page, t.api + MLP, postJson(FOUR_NUMBERS)));
    await leave(t, page);
    assert.deepEqual(await reportedSince(t, before), { [`missing_header ${t.origins.app}`]: 1 });
  }, 'M4'),
];
