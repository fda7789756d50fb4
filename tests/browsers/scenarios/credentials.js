// Cookies: who may send them and read the answer, and a public model beside private ones.
import assert from 'node:assert/strict';
import { assertNumbers, assertRefused, FOUR_NUMBERS, POSTED, postJson, postText, PREFLIGHT } from '../samples.js';

const MLP = '/predictions/mlp';
const ECHO = '/predictions/echo';

const scenario = (id, what, expect, run, seed) => ({ id, policy: 'credentials', what, expect, seed, run });

export default [
  scenario('cookie', 'sets a cookie for the API\'s host and POSTs JSON with `credentials: include`', 'readable; the cookie is on the POST and not on the preflight', async (t) => {
    const { port, heads } = await t.recorder();
    const page = await t.page('app');
    await page.evaluate(() => { document.cookie = 'session=42; path=/'; });
    // The page's own host on another port: another origin, the same site, the same cookies.
    const url = `http://app.localhost:${port}${MLP}`;
    assertNumbers(await t.call(page, url, postJson(FOUR_NUMBERS, { credentials: 'include' })));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
    const [preflight, post] = heads();
    assert.doesNotMatch(preflight, /^cookie:/im);
    assert.match(post, /^cookie: session=42\r$/im);
  }, '0.5, 1.31, U2'),

  scenario('no-cookie-by-default', 'does the same without `credentials`', 'readable; no cookie is sent', async (t) => {
    const { port, heads } = await t.recorder();
    const page = await t.page('app');
    await page.evaluate(() => { document.cookie = 'session=42; path=/'; });
    assertNumbers(await t.call(page, `http://app.localhost:${port}${MLP}`, postText(FOUR_NUMBERS)));
    assert.doesNotMatch(heads()[0], /^cookie:/im);
  }, '1.31'),

  scenario('credentials-foreign', 'fetches with `credentials: include` from an unlisted origin', 'TypeError', async (t) => {
    assertRefused(await t.callFrom('foreign', t.api + MLP, postText(FOUR_NUMBERS, { credentials: 'include' })));
  }, '1.8, X10'),

  {
    ...scenario('credentials-not-allowed', 'fetches with `credentials: include` where credentials are off', 'TypeError although the origin is listed', async (t) => {
      assertRefused(await t.callFrom('app', t.api + MLP, postText(FOUR_NUMBERS, { credentials: 'include' })));
      assert.deepEqual(await t.requests(MLP), [POSTED]);
    }, '0.18, X2'),
    policy: 'list',
  },

  scenario('not-exposed', 'reads `x-request-id` where nothing is exposed', 'not there', async (t) => {
    const seen = await t.callFrom('app', t.api + MLP, postText(FOUR_NUMBERS));
    assertNumbers(seen);
    assert.equal(seen.headers['x-request-id'], undefined);
    assert.equal(seen.headers['content-type'], 'application/json');
  }, '1.49, X19'),

  scenario('public-model', 'calls a model of its own policy (`cors.model.echo.allowed.origin=*`) from an unlisted origin', 'readable, while the other model is not', async (t) => {
    const page = await t.page('foreign');
    assert.equal((await t.call(page, t.api + ECHO, postJson([1]))).status, 200);
    assertRefused(await t.call(page, t.api + MLP, postJson(FOUR_NUMBERS)));
  }, '1.5, 1.20'),

  scenario('public-model-with-credentials', 'calls that model with `credentials: include` from the listed origin', 'TypeError: `*` has no credentials', async (t) => {
    assertRefused(await t.callFrom('app', t.api + ECHO, postText('[1]', { credentials: 'include' })));
  }, '1.20'),
];
