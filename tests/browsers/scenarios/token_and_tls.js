// Servers that want a token, and servers that speak TLS. Skipped, with the server's own words, on a
// version that does not have them.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { assertError, assertNumbers, FOUR_NUMBERS, POSTED, postJson, PREFLIGHT } from '../samples.js';

const MLP = '/predictions/mlp';

const scenario = (id, policy, what, expect, run, seed) => ({ id, policy, what, expect, seed, run });

export default [
  scenario('token', 'token', 'POSTs JSON with the right bearer token', 'the preflight needs no token; the answer is readable', async (t) => {
    const keys = JSON.parse(fs.readFileSync(path.join(t.server.folder, 'key_file.json'), 'utf8'));
    const headers = { Authorization: `Bearer ${keys.inference.key}` };
    assertNumbers(await t.callFrom('app', t.api + MLP, postJson(FOUR_NUMBERS, { headers })));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
  }, '0.30, 1.22'),

  scenario('token-missing', 'token', 'POSTs JSON without a token', '400 with TorchServe\'s JSON, readable', async (t) => {
    assertError(await t.callFrom('app', t.api + MLP, postJson(FOUR_NUMBERS)), 400, 'InvalidKeyException');
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, 'POST 400 actual/allowed/ok']);
  }, '1.22'),

  scenario('tls', 'tls', 'calls an https API from an https page', 'preflight and answer', async (t) => {
    assertNumbers(await t.callFrom('secure', t.api + MLP, postJson(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
  }),
];
