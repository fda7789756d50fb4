// Which requests are preflighted, what the answer permits, and how long it is remembered.
import assert from 'node:assert/strict';
import { assertNumbers, assertRefused, FOUR_NUMBERS, POSTED, postJson, postText, PREFLIGHT, refusedPreflight } from '../samples.js';

const MLP = '/predictions/mlp';

const scenario = (id, what, expect, run, seed) => ({ id, policy: 'list', what, expect, seed, run });

export default [
  scenario('listed-header', 'sends `x-custom-TOKEN`, listed as `X-Custom-Token`', 'permitted: names have no case', async (t) => {
    assertNumbers(await t.callFrom('app', t.api + MLP, postJson(FOUR_NUMBERS, { headers: { 'x-custom-TOKEN': 'a' } })));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
  }, '0.17'),

  scenario('unlisted-header', 'sends a header that is not listed', 'TypeError; the POST is never sent', async (t) => {
    assertRefused(await t.callFrom('app', t.api + MLP, postJson(FOUR_NUMBERS, { headers: { 'X-Other': 'a' } })));
    assert.deepEqual(await t.requests(MLP), [refusedPreflight('headers_not_listed')]);
  }, '0.4, F5'),

  scenario('bearer-token', 'sends `Authorization: Bearer ...`, listed', 'permitted, without any credentials setting', async (t) => {
    assertNumbers(await t.callFrom('app', t.api + MLP, postText(FOUR_NUMBERS, { headers: { Authorization: 'Bearer abc' } })));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
  }, '0.18'),

  scenario('several-listed-headers', 'sends both listed headers and JSON', 'one preflight permits all', async (t) => {
    const headers = { Authorization: 'Bearer abc', 'X-Custom-Token': 'a' };
    assertNumbers(await t.callFrom('app', t.api + MLP, postJson(FOUR_NUMBERS, { headers })));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
  }, '0.17'),

  scenario('unlisted-method', 'sends DELETE', 'TypeError; the DELETE is never sent', async (t) => {
    assertRefused(await t.callFrom('app', t.api + MLP, { method: 'DELETE' }));
    assert.deepEqual(await t.requests(MLP), [refusedPreflight('method_not_listed')]);
  }, '0.16'),

  scenario('method-case', 'sends `patch`, which browsers do not write in capitals', 'TypeError after a refused preflight', async (t) => {
    assertRefused(await t.callFrom('app', t.api + MLP, { method: 'patch', body: '1' }));
    assert.deepEqual(await t.requests(MLP), [refusedPreflight('method_not_listed')]);
  }, '1.18'),

  scenario('simple-range', 'sends `Range: bytes=0-9`', 'safelisted by the Fetch standard: readable; a browser that preflights it is refused', async (t) => {
    const seen = await t.callFrom('app', `${t.api}/ping`, { headers: { Range: 'bytes=0-9' } });
    const requests = await t.requests('/ping');
    if (seen.error) assert.deepEqual(requests, [refusedPreflight('headers_not_listed')]);
    else assert.deepEqual([seen.status, requests], [200, ['GET 200 actual/allowed/ok']]);
    assert.ok(!t.isChromium || !seen.error);
  }),

  scenario('conditional-header', 'sends `If-None-Match`, not listed', 'TypeError after a refused preflight', async (t) => {
    assertRefused(await t.callFrom('app', `${t.api}/ping`, { headers: { 'If-None-Match': '"a"' } }));
    assert.deepEqual(await t.requests('/ping'), [refusedPreflight('headers_not_listed')]);
  }),

  scenario('preflight-cache', 'POSTs JSON three times', 'one preflight for all (max-age 600)', async (t) => {
    const page = await t.page();
    for (let round = 0; round < 3; round += 1) assertNumbers(await t.call(page, t.api + MLP, postJson(FOUR_NUMBERS)));
    const requests = await t.requests(MLP);
    await t.skipWithoutPreflightCache(requests);
    assert.deepEqual(requests, [PREFLIGHT, POSTED, POSTED, POSTED]);
  }, '1.26, 1.27, 2.123'),

  scenario('preflight-cache-covers-the-list', 'POSTs JSON, then adds a listed header', 'no second preflight: the first answer named the whole list', async (t) => {
    const page = await t.page();
    assertNumbers(await t.call(page, t.api + MLP, postJson(FOUR_NUMBERS)));
    assertNumbers(await t.call(page, t.api + MLP, postJson(FOUR_NUMBERS, { headers: { 'X-Custom-Token': 'a' } })));
    const requests = await t.requests(MLP);
    await t.skipWithoutPreflightCache(requests);
    assert.deepEqual(requests, [PREFLIGHT, POSTED, POSTED]);
  }, 'S4'),

  scenario('preflight-cache-by-origin', 'POSTs JSON from two origins', 'each origin asks for itself', async (t) => {
    for (const origin of ['app', 'second']) assertNumbers(await t.callFrom(origin, t.api + MLP, postJson(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED, PREFLIGHT, POSTED]);
  }, '1.14'),

  scenario('preflight-cache-by-url', 'POSTs JSON to two models', 'one preflight for each URL', async (t) => {
    const page = await t.page();
    for (const path of [MLP, '/predictions/echo']) {
      assert.equal((await t.call(page, t.api + path, postJson(FOUR_NUMBERS))).status, 200);
      assert.deepEqual(await t.requests(path), [PREFLIGHT, POSTED]);
    }
  }, '2.123'),

  {
    ...scenario('preflight-not-cached', 'POSTs JSON twice where `cors.max.age=0`', 'a preflight before each', async (t) => {
      const page = await t.page();
      for (let round = 0; round < 2; round += 1) assertNumbers(await t.call(page, t.api + MLP, postJson(FOUR_NUMBERS)));
      assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED, PREFLIGHT, POSTED]);
    }, 'F6'),
    policy: 'credentials',
  },
];
