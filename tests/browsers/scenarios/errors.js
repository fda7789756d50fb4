// Errors that a page can read: the status and TorchServe's JSON, not a bare "network error".
import assert from 'node:assert/strict';
import { assertError, assertNumbers, FOUR_NUMBERS, POSTED, postJson, postText, PREFLIGHT } from '../samples.js';

const MLP = '/predictions/mlp';
const TOO_LARGE = 'RequestEntityTooLargeException';

const scenario = (id, what, expect, run, seed) => ({ id, policy: 'list', what, expect, seed, run });

export default [
  scenario('error-400', 'POSTs broken JSON', '400 with its JSON', async (t) => {
    assertError(await t.callFrom('app', t.api + MLP, postJson('{"a"')), 400, 'BadRequestException');
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, 'POST 400 actual/allowed/ok']);
  }, 'F1, X13'),

  scenario('error-404-model', 'calls an unknown model with JSON', 'the preflight passes, then 404 with its JSON', async (t) => {
    const path = '/predictions/no_such_model';
    assertError(await t.callFrom('app', t.api + path, postJson(FOUR_NUMBERS)), 404, 'ModelNotFoundException');
    assert.deepEqual(await t.requests(path), [PREFLIGHT, 'POST 404 actual/allowed/ok']);
  }, 'F2, X3'),

  scenario('error-404-route', 'calls an unknown path', '404 with its JSON', async (t) => {
    assertError(await t.callFrom('app', `${t.api}/no/such/route`), 404, 'ResourceNotFoundException');
  }, 'X13'),

  scenario('error-405', 'GETs /', '405 with its JSON', async (t) => {
    assertError(await t.callFrom('app', `${t.api}/`), 405, 'MethodNotAllowedException');
  }, 'X13'),

  scenario('error-413', 'POSTs 300 kB of JSON where 200 kB are allowed', '413 with its JSON', async (t) => {
    const body = JSON.stringify(Array(100_000).fill(0.5));
    assertError(await t.callFrom('app', t.api + MLP, postJson(body)), 413, TOO_LARGE);
  }, 'U6, 2.46'),

  scenario('error-413-upload', 'uploads 12 MB with a simple POST', '413 with its JSON, not a reset connection', async (t) => {
    const page = await t.page();
    const body = { repeat: 12_000_000, type: 'text/plain' };
    assertError(await t.call(page, t.api + MLP, { method: 'POST', body }), 413, TOO_LARGE);
  }, 'U6'),

  scenario('error-413-multipart', 'uploads 3 MB in FormData', '413 with its JSON', async (t) => {
    const body = { form: [['data', { repeat: 3_000_000, type: 'image/png' }]] };
    assertError(await t.callFrom('app', `${t.api}/predictions/digits`, { method: 'POST', body }), 413, TOO_LARGE);
  }, 'U6'),

  scenario('after-413', 'goes on after a 413', 'the next three calls are answered', async (t) => {
    const page = await t.page();
    const large = { method: 'POST', body: { repeat: 1_000_000, type: 'text/plain' } };
    for (let round = 0; round < 3; round += 1) {
      assertError(await t.call(page, t.api + MLP, large), 413, TOO_LARGE);
      assertNumbers(await t.call(page, t.api + MLP, postText(FOUR_NUMBERS)));
    }
  }),

  scenario('error-503-prediction', 'sends an input that the model refuses', '503 with its JSON', async (t) => {
    const path = '/predictions/error_on_negative';
    assertError(await t.callFrom('app', t.api + path, postJson([-1])), 503, 'InternalServerException');
    assert.deepEqual(await t.requests(path), [PREFLIGHT, 'POST 503 actual/allowed/ok']);
  }, 'X13'),

  {
    ...scenario('error-503-queue-full', 'sends six requests at once to a model with room for two', 'each is answered or told 503 with its JSON', async (t) => {
      const page = await t.page();
      const call = () => t.call(page, `${t.api}/predictions/slow`, postText([[1, 2]]));
      const seen = await Promise.all(Array.from({ length: 6 }, call));
      const refused = seen.filter(({ status }) => status !== 200);
      assert.ok(refused.length > 0 && refused.length < 6, seen.map(({ status }) => status).join(' '));
      for (const each of refused) assertError(each, 503, 'ServiceUnavailableException');
    }),
    policy: 'queue',
  },

  {
    ...scenario('abort', 'gives up a prediction while it runs', 'AbortError; the next call is answered', async (t) => {
      const page = await t.page();
      const arrived = t.answered('OPTIONS', '/predictions/slow');
      const aborted = page.evaluate(async (url) => {
        globalThis.controller = new AbortController();
        try {
          await fetch(url, { method: 'POST', body: '[[1, 2]]', headers: { 'Content-Type': 'application/json' }, signal: globalThis.controller.signal });
          return 'answered';
        } catch (error) {
          return error.name;
        }
      }, `${t.api}/predictions/slow`);
      await arrived;
      await page.evaluate(() => globalThis.controller.abort());
      assert.equal(await aborted, 'AbortError');
      assertNumbers(await t.call(page, t.api + MLP, postText(FOUR_NUMBERS)));
      assert.deepEqual(await t.requests(MLP), [POSTED]);
    }),
    policy: 'queue',
  },
];
