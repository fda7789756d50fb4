// Attacks on the management API by a page that merely runs in the administrator's browser. Nothing
// is configured for management: no page may read it, and no page of another site may change it.
import assert from 'node:assert/strict';
import { assertRefused, postJson } from '../samples.js';

const MODELS = '/models';
const REGISTER = '/models?url=no-such-archive.mar';
const BLOCKED = /^POST 403 actual\/blocked\/cross_site_write$/;

const scenario = (id, what, expect, run, seed) => ({ id, policy: 'list', what, expect, seed, run });

/** Sends a form as a hidden frame would; resolves when the server has answered. */
async function submit(t, page, enctype) {
  await page.evaluate(
    (action, enctype) => {
      const frame = document.createElement('iframe');
      frame.name = 'hidden';
      const form = document.createElement('form');
      Object.assign(form, { action, method: 'post', enctype, target: 'hidden' });
      const field = document.createElement('input');
      Object.assign(field, { name: 'initial_workers', value: '1' });
      form.append(field);
      document.body.append(frame, form);
      form.submit();
    },
    t.management + REGISTER,
    enctype,
  );
  await t.answered('POST', MODELS, 'management');
}

async function assertBlocked(t) {
  const requests = await t.requests(MODELS, 'management');
  assert.equal(requests.length, 1, requests.join('\n'));
  assert.match(requests[0], BLOCKED);
}

const formPost = (id, enctype) =>
  scenario(id, `submits a form (${enctype}) that would register a model`, '403 by the server', async (t) => {
    await submit(t, await t.page('app'), enctype);
    await assertBlocked(t);
  }, '0.26, G21');

export default [
  scenario('management-read', 'GETs /models from an origin that inference lists', 'answered, unreadable: one listener\'s list is not the other\'s', async (t) => {
    assertRefused(await t.callFrom('app', t.management + MODELS));
    const requests = await t.requests(MODELS, 'management');
    assert.equal(requests.length, 1);
    assert.match(requests[0], /^GET 200 /);
  }, '0.10, 0.14'),

  scenario('management-json', 'POSTs JSON to /models', 'the preflight fails; the POST is never sent', async (t) => {
    assertRefused(await t.callFrom('app', t.management + REGISTER, postJson({})));
    const requests = await t.requests(MODELS, 'management');
    assert.deepEqual(requests.map((line) => line.split(' ')[0]), ['OPTIONS']);
  }, '0.14'),

  scenario('management-delete', 'DELETEs a model', 'the preflight fails; the model stays', async (t) => {
    assertRefused(await t.callFrom('app', `${t.management}/models/mlp`, { method: 'DELETE' }));
    const requests = await t.requests('/models/mlp', 'management');
    assert.deepEqual(requests.map((line) => line.split(' ')[0]), ['OPTIONS']);
  }, '0.28'),

  formPost('management-form', 'application/x-www-form-urlencoded'),
  formPost('management-form-text', 'text/plain'),
  formPost('management-form-multipart', 'multipart/form-data'),

  scenario('management-no-cors', 'POSTs with `mode: no-cors`', '403 by the server, opaque for the page', async (t) => {
    const seen = await t.callFrom('app', t.management + REGISTER, { method: 'POST', mode: 'no-cors' });
    assert.deepEqual([seen.type, seen.status], ['opaque', 0]);
    await assertBlocked(t);
  }, 'G21'),

  scenario('management-no-cors-other-machine', 'does the same from `http://foreign.test` to `http://api.test`, which gets no `Sec-Fetch-Site`', '421: a listener on loopback answers for this machine only', async (t) => {
    const url = `http://api.test:${t.server.ports.management}${REGISTER}`;
    const seen = await t.callFrom('foreignMapped', url, { method: 'POST', mode: 'no-cors' });
    assert.equal(seen.type, 'opaque');
    const requests = await t.requests(MODELS, 'management');
    // Fetch: a browser asks once more over another connection, since 421 blames this one.
    assert.ok(requests.length === 1 || requests.length === 2, requests.join('\n'));
    for (const request of requests) assert.match(request, /^POST 421 /);
  }, 'G21'),

  scenario('management-sandboxed', 'does the same from a sandboxed frame (origin `null`)', '403', async (t) => {
    await t.inSandbox(await t.page('app'), t.management + REGISTER, { method: 'POST', mode: 'no-cors' });
    await assertBlocked(t);
  }, 'G21'),

  scenario('management-beacon', 'sends a beacon to it', '403', async (t) => {
    await t.callFrom('app', t.management + REGISTER, { via: 'beacon', body: { text: 'a', type: 'text/plain' } });
    await t.answered('POST', MODELS, 'management');
    await assertBlocked(t);
  }, 'G21'),

  scenario('management-other-port', 'POSTs from the same host on another port (same site, other origin)', '403', async (t) => {
    await t.callFrom('loopback', t.management + REGISTER, { method: 'POST', mode: 'no-cors' });
    await assertBlocked(t);
  }, 'G19'),

  scenario('management-image', 'loads /models as an image', 'a harmless GET: answered, unreadable', async (t) => {
    const page = await t.page('app');
    const outcome = await page.evaluate(
      (src) =>
        new Promise((resolve) => {
          const image = new Image();
          image.onload = () => resolve('load');
          image.onerror = () => resolve('error');
          image.src = src;
        }),
      t.management + MODELS,
    );
    assert.equal(outcome, 'error');
    assert.match((await t.requests(MODELS, 'management'))[0], /^GET 200/);
  }),

  scenario('management-link', 'follows a link to /models', 'shown to the person, as any link', async (t) => {
    const page = await t.page('app');
    const [response] = await Promise.all([
      page.waitForNavigation(),
      page.evaluate((href) => { location.href = href; }, t.management + MODELS),
    ]);
    assert.equal(response.status(), 200);
  }),

  scenario('management-own-page', 'POSTs from a page of the management listener itself', 'not a foreign page: reaches the API', async (t) => {
    const seen = await t.callFrom(t.management + MODELS, t.management + REGISTER, { method: 'POST' });
    assert.notEqual(seen.status, undefined, JSON.stringify(seen));
    assert.notEqual(seen.status, 403);
    assert.ok(JSON.parse(seen.text).code >= 400);
  }, '1.1'),

  scenario('metrics-read', 'GETs /metrics', 'answered, unreadable', async (t) => {
    assertRefused(await t.callFrom('app', `${t.server.metrics}/metrics`));
  }, '0.10'),
];
