// `*`: any page may call, without cookies; and TorchServe's own names for the settings.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { assertNumbers, assertRefused, assertSeven, FOUR_NUMBERS, PICTURE, POSTED, postJson, postText, PREFLIGHT, refusedPreflight } from '../samples.js';

const MLP = '/predictions/mlp';

const scenario = (id, what, expect, run, seed) => ({ id, policy: 'any', what, expect, seed, run });

export default [
  scenario('any-json', 'POSTs JSON from an origin nobody named', 'preflight and answer', async (t) => {
    assertNumbers(await t.callFrom('foreignMapped', t.api + MLP, postJson(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
  }, '0.19'),

  scenario('any-header', 'sends a header nobody named where `cors.allowed.headers=*`', 'permitted', async (t) => {
    assertNumbers(await t.callFrom('app', t.api + MLP, postJson(FOUR_NUMBERS, { headers: { 'X-Whatever': 'a' } })));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
  }),

  scenario('any-authorization', 'sends `Authorization` there', 'refused: `*` never stands for it', async (t) => {
    assertRefused(await t.callFrom('app', t.api + MLP, postText(FOUR_NUMBERS, { headers: { Authorization: 'Bearer abc' } })));
    assert.deepEqual(await t.requests(MLP), [refusedPreflight('headers_not_listed')]);
  }),

  scenario('any-with-credentials', 'fetches with `credentials: include`', 'TypeError: browsers take no `*` then', async (t) => {
    assertRefused(await t.callFrom('app', t.api + MLP, postText(FOUR_NUMBERS, { credentials: 'include' })));
    assert.deepEqual(await t.requests(MLP), [POSTED]);
  }, '0.20, 1.8'),

  scenario('any-exposed', 'reads headers where `cors.exposed.headers=*`', 'all readable; one `Access-Control-Allow-Origin: *`, no `Vary: Origin`', async (t) => {
    const { headers } = await t.callFrom('app', t.api + MLP, postText(FOUR_NUMBERS));
    assert.ok(headers['x-request-id'] && headers['x-content-type-options']);
    assert.equal(headers['access-control-allow-origin'], '*');
    assert.equal(headers['access-control-allow-credentials'], undefined);
    assert.doesNotMatch(headers.vary ?? '', /origin/i);
  }, '1.43'),

  scenario('any-sandboxed-frame', 'calls from a sandboxed frame (origin `null`)', 'preflight and answer', async (t) => {
    assertNumbers(await t.inSandbox(await t.page(), t.api + MLP, postJson(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
    assert.ok(t.entries(MLP).every(({ origin }) => origin === 'null'));
  }),

  scenario('any-data-worker', 'calls from a worker made of a data: URL', 'preflight and answer', async (t) => {
    assertNumbers(await t.inWorker(await t.page(), 'data', t.api + MLP, postJson(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
  }, 'X16'),

  scenario('any-file-page', 'is opened from the disk (`file:`)', 'origin `null`: preflight and answer', async (t) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'torchfront-file-page-'));
    t.closers.push(() => fs.rmSync(folder, { recursive: true, force: true }));
    const file = path.join(folder, 'page.html');
    fs.writeFileSync(file, '<!doctype html><title>page</title>');
    assertNumbers(await t.callFrom(pathToFileURL(file).href, t.api + MLP, postJson(FOUR_NUMBERS)));
    assert.ok((await t.requests(MLP)).length === 2 && t.entries(MLP).every(({ origin }) => origin === 'null'));
  }),

  {
    ...scenario('torchserve-names', 'POSTs a picture where only `cors_allowed_*` are set, as TorchServe\'s React example does', 'preflight; PyTorch\'s own probabilities', async (t) => {
      const options = { method: 'POST', body: PICTURE, headers: { 'X-From-React': '1' } };
      assertSeven(await t.callFrom('app', `${t.api}/predictions/digits`, options));
      assert.deepEqual(await t.requests('/predictions/digits'), [PREFLIGHT, POSTED]);
    }, '0.29, 0.30'),
    policy: 'torchserve',
  },
  {
    ...scenario('torchserve-names-management', 'GETs /models there', 'unreadable: those names open inference only', async (t) => {
      assertRefused(await t.callFrom('app', `${t.management}/models`));
    }, '0.26'),
    policy: 'torchserve',
  },
];
