// Origins by pattern or from a file, and listeners that have policies of their own.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { assertError, assertNumbers, assertRefused, FOUR_NUMBERS, POSTED, postJson, postText, PREFLIGHT, refusedPreflight } from '../samples.js';

const MLP = '/predictions/mlp';
const MODELS = '/models';
// The server looks at the file every second.
const FILE_LIMIT_MS = 15_000;
const FILE_POLL_MS = 200;

const scenario = (id, what, expect, run, seed) => ({ id, policy: 'patterns', what, expect, seed, run });

const fits = (id, origin, what) =>
  scenario(id, what, 'fits: preflight and answer', async (t) => {
    assertNumbers(await t.callFrom(origin, t.api + MLP, postJson(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
  }, '2.38');

const fitsNot = (id, origin, what) =>
  scenario(id, what, 'does not fit: refused', async (t) => {
    assertRefused(await t.callFrom(origin, t.api + MLP, postJson(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [refusedPreflight('origin_not_listed')]);
  }, '2.38');

export default [
  {
    ...scenario('file-listed', 'calls from an origin that only `cors.allowed.origin.file` lists, and from one that it does not', 'allowed; refused', async (t) => {
      assertNumbers(await t.callFrom('app', t.api + MLP, postJson(FOUR_NUMBERS)));
      assertRefused(await t.callFrom('second', t.api + MLP, postJson(FOUR_NUMBERS)));
    }, 'U7, U10'),
    policy: 'file',
  },
  {
    ...scenario('file-changes', 'calls before and after its origin is written into `cors.allowed.origin.file`', 'refused, then allowed without a restart', async (t) => {
      const page = await t.page();
      assertRefused(await t.call(page, t.api + MLP, postText(FOUR_NUMBERS)));
      const file = path.join(t.server.folder, 'origins.txt');
      fs.writeFileSync(`${file}.new`, `https://customer.example\n${t.origins.app}\n`);
      fs.renameSync(`${file}.new`, file);
      const end = Date.now() + FILE_LIMIT_MS;
      let seen;
      do {
        seen = await t.call(page, t.api + MLP, postText(FOUR_NUMBERS));
        if (seen.error) await new Promise((resolve) => setTimeout(resolve, FILE_POLL_MS));
      } while (seen.error && Date.now() < end);
      assertNumbers(seen);
      assertNumbers(await t.call(page, t.api + MLP, postJson(FOUR_NUMBERS)));
    }, '0.23, X15'),
    policy: 'reload',
  },

  fits('pattern-subdomain', 'app', 'calls from `app.localhost` where `http://*.localhost:PORT` is listed'),
  fits('pattern-deep-subdomain', 'deep', 'calls from `a.b.localhost`'),
  fitsNot('pattern-other-port', 'appOtherPort', 'calls from `app.localhost` on another port'),
  fits('pattern-any-port', 'apex', 'calls from `localhost` where `http://localhost:*` is listed'),
  fits('pattern-any-other-port', 'apexOtherPort', 'calls from `localhost` on another port'),
  fitsNot('pattern-other-host', 'loopback', 'calls from `127.0.0.1`, which is not the name `localhost`'),
  fitsNot('pattern-other-scheme', 'secure', 'calls from an https page'),

  scenario('admin-reads', 'GETs /models where `management_cors.allowed.origin` lists it', 'reads the models', async (t) => {
    const seen = await t.callFrom('app', t.management + MODELS);
    assert.equal(seen.status, 200);
    assert.deepEqual(JSON.parse(seen.text).models.map(({ modelName }) => modelName), ['mlp']);
    assert.deepEqual(await t.requests(MODELS, 'management'), ['GET 200 actual/allowed/ok']);
  }, '0.27, U5'),

  scenario('admin-writes', 'PUTs /models/no_such_model', 'preflight passes, the API\'s own error is readable, no 403', async (t) => {
    const path = `${MODELS}/no_such_model`;
    const seen = await t.callFrom('app', `${t.management}${path}?min_worker=1`, { method: 'PUT' });
    assert.ok([404, 405].includes(seen.status), JSON.stringify(seen));
    assertError(seen, seen.status, seen.status === 404 ? 'ModelNotFoundException' : 'MethodNotAllowedException');
    assert.equal((await t.requests(path, 'management'))[0], PREFLIGHT);
  }, '0.27, U5'),

  scenario('admin-unlisted-method', 'DELETEs a model, a method that is not listed', 'TypeError after a refused preflight', async (t) => {
    assertRefused(await t.callFrom('app', `${t.management}${MODELS}/mlp`, { method: 'DELETE' }));
    assert.deepEqual(await t.requests(`${MODELS}/mlp`, 'management'), [refusedPreflight('method_not_listed')]);
  }, '0.28'),

  scenario('admin-unlisted-simple-post', 'POSTs without a preflight, a method that is not listed', '403 by the server: a listed origin alone is not enough', async (t) => {
    await t.callFrom('app', `${t.management}${MODELS}?url=no-such-archive.mar`, { method: 'POST', mode: 'no-cors' });
    const requests = await t.requests(MODELS, 'management');
    assert.equal(requests.length, 1);
    assert.match(requests[0], /^POST 403 /);
  }, '0.28, G21'),

  scenario('admin-foreign', 'GETs /models from a page that inference allows and management does not', 'answered, unreadable', async (t) => {
    assertRefused(await t.callFrom('apex', t.management + MODELS));
    assert.deepEqual(await t.requests(MODELS, 'management'), ['GET 200 actual/denied/origin_not_listed']);
  }, '0.10'),

  scenario('metrics-listed', 'GETs /metrics where `metrics_cors.allowed.origin` lists it', 'readable', async (t) => {
    const seen = await t.callFrom('app', `${t.server.metrics}/metrics`);
    assert.equal(seen.status, 200);
    assert.match(seen.text, /^# HELP /m);
  }, '0.10'),
];
