// What a front end is for: a page of a listed origin sends an input and reads the right answer.
import assert from 'node:assert/strict';
import { assertNumbers, assertSeven, FOUR_NUMBERS, PICTURE, POSTED, postJson, postText, PREFLIGHT } from '../samples.js';

const MLP = '/predictions/mlp';
const DIGITS = '/predictions/digits';

const scenario = (id, what, expect, run, seed) => ({ id, policy: 'list', what, expect, seed, run });

export default [
  scenario('json-post', 'POSTs JSON', 'one preflight, then the right answer', async (t) => {
    assertNumbers(await t.callFrom('app', t.api + MLP, postJson(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
    assert.ok(t.entries(MLP).every(({ origin }) => origin === t.origins.app));
  }, '0.11, 1.25'),

  scenario('json-charset-post', 'POSTs JSON as `application/json; charset=utf-8`', 'the right answer', async (t) => {
    const headers = { 'Content-Type': 'application/json; charset=utf-8' };
    assertNumbers(await t.callFrom('app', t.api + MLP, postJson(FOUR_NUMBERS, { headers })));
  }),

  scenario('second-listed-origin', 'does the same from the other origin of the list', 'the right answer, its own origin logged', async (t) => {
    assertNumbers(await t.callFrom('second', t.api + MLP, postJson(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
    assert.ok(t.entries(MLP).every(({ origin }) => origin === t.origins.second));
  }, '0.15'),

  scenario('text-post', 'POSTs the same numbers as text/plain', 'the right answer without a preflight', async (t) => {
    assertNumbers(await t.callFrom('app', t.api + MLP, postText(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [POSTED]);
  }, '1.26'),

  scenario('raw-picture-post', 'POSTs a File as image/png', 'one preflight; PyTorch\'s own probabilities', async (t) => {
    assertSeven(await t.callFrom('app', t.api + DIGITS, { method: 'POST', body: PICTURE }));
    assert.deepEqual(await t.requests(DIGITS), [PREFLIGHT, POSTED]);
  }, '0.30'),

  scenario('multipart-picture-post', 'POSTs the File in FormData', 'the same, without a preflight', async (t) => {
    const body = { form: [['data', PICTURE]] };
    assertSeven(await t.callFrom('app', t.api + DIGITS, { method: 'POST', body }));
    assert.deepEqual(await t.requests(DIGITS), [POSTED]);
  }, '1.26, U6'),

  scenario('multipart-with-header', 'POSTs FormData with a listed header', 'one preflight; the same', async (t) => {
    const body = { form: [['data', PICTURE]] };
    assertSeven(await t.callFrom('app', t.api + DIGITS, { method: 'POST', body, headers: { 'X-Custom-Token': 'a' } }));
    assert.deepEqual(await t.requests(DIGITS), [PREFLIGHT, POSTED]);
  }, 'U6'),

  scenario('picture-put', 'PUTs the picture, as `curl -T` does', 'one preflight; the same', async (t) => {
    assertSeven(await t.callFrom('app', t.api + DIGITS, { method: 'PUT', body: PICTURE }));
    assert.deepEqual(await t.requests(DIGITS), [PREFLIGHT, 'PUT 200 actual/allowed/ok']);
  }, '1.25'),

  scenario('get-ping', 'GETs /ping', '`Healthy`, no preflight', async (t) => {
    const seen = await t.callFrom('app', `${t.api}/ping`);
    assert.deepEqual([seen.status, seen.type, JSON.parse(seen.text).status], [200, 'cors', 'Healthy']);
    assert.deepEqual(await t.requests('/ping'), ['GET 200 actual/allowed/ok']);
  }),

  scenario('head-ping', 'sends HEAD', '200, no body, no preflight (HEAD rides on GET)', async (t) => {
    const seen = await t.callFrom('app', `${t.api}/ping`, { method: 'HEAD' });
    assert.deepEqual([seen.status, seen.text], [200, '']);
    assert.deepEqual(await t.requests('/ping'), ['HEAD 200 actual/allowed/ok']);
  }),

  scenario('cache-no-store', 'fetches with `cache: no-store`', 'readable, no preflight', async (t) => {
    const seen = await t.callFrom('app', `${t.api}/ping`, { cache: 'no-store' });
    assert.equal(seen.status, 200);
    assert.deepEqual(await t.requests('/ping'), ['GET 200 actual/allowed/ok']);
  }),

  scenario('options-by-script', 'calls OPTIONS itself', 'a preflight for it, then the API description is readable', async (t) => {
    const seen = await t.callFrom('app', t.api + MLP, { method: 'OPTIONS' });
    assert.equal(seen.status, 200);
    assert.ok(JSON.parse(seen.text).openapi);
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, 'OPTIONS 200 actual/allowed/ok']);
  }),

  scenario('xhr-json', 'uses XMLHttpRequest', 'the right answer; only safelisted and exposed headers listed', async (t) => {
    const seen = await t.callFrom('app', t.api + MLP, { via: 'xhr', ...postJson(FOUR_NUMBERS) });
    assertNumbers(seen);
    assert.match(seen.raw, /^x-request-id: /im);
    assert.doesNotMatch(seen.raw, /^(vary|x-content-type-options|access-control)/im);
  }),

  scenario('xhr-upload-listener', 'listens to the upload\'s progress', 'that alone needs a preflight; it is granted', async (t) => {
    const seen = await t.callFrom('app', t.api + MLP, { via: 'xhr', uploadListener: true, ...postText(FOUR_NUMBERS) });
    assertNumbers(seen);
    assert.equal(seen.uploaded, JSON.stringify(FOUR_NUMBERS).length);
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
  }),

  scenario('exposed-header', 'reads `x-request-id`', 'the id that the server logged; unexposed headers stay hidden', async (t) => {
    const seen = await t.callFrom('app', t.api + MLP, postText(FOUR_NUMBERS));
    await t.requests(MLP);
    assert.equal(seen.headers['x-request-id'], t.entries(MLP)[0].request_id);
    assert.equal(seen.headers.vary, undefined);
    assert.equal(seen.headers['x-content-type-options'], undefined);
    assert.equal(seen.headers['content-type'], 'application/json');
  }, '1.19, 1.28'),

  scenario('other-name-of-the-api', 'calls the API as `localhost`', 'the right answer: the policy looks at Origin, not at Host', async (t) => {
    assertNumbers(await t.callFrom('app', `http://localhost:${t.server.ports.inference}${MLP}`, postJson(FOUR_NUMBERS)));
  }, 'G22'),

  scenario('mapped-origin', 'calls from `http://app.test`, not a loopback name and not a secure context', 'the right answer', async (t) => {
    assertNumbers(await t.callFrom('mapped', `http://api.test:${t.server.ports.inference}${MLP}`, postJson(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
  }),

  scenario('https-page', 'calls `http://127.0.0.1` from an https page', 'works: loopback is trustworthy for both browsers', async (t) => {
    assertNumbers(await t.callFrom('secure', t.api + MLP, postJson(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
  }),

  scenario('https-page-mixed-content', 'calls `http://api.test` from an https page', 'mixed content: the browser sends nothing', async (t) => {
    const seen = await t.callFrom('secure', `http://api.test:${t.server.ports.inference}${MLP}`, postText(FOUR_NUMBERS));
    assert.equal(seen.error, 'TypeError');
    assert.deepEqual(await t.requests(MLP), []);
  }),

  scenario('two-tabs', 'sends ten requests from each of two tabs at once', 'twenty right answers', async (t) => {
    const tabs = [await t.page(), await t.page()];
    const ten = (tab) => Promise.all(Array.from({ length: 10 }, () => t.call(tab, t.api + MLP, postJson(FOUR_NUMBERS))));
    const seen = (await Promise.all(tabs.map(ten))).flat();
    seen.forEach(assertNumbers);
    const posts = (await t.requests(MLP)).filter((line) => line.startsWith('POST'));
    assert.deepEqual(posts, Array(20).fill(POSTED));
  }),

  scenario('two-origins-one-cache', 'GETs one URL with `cache: force-cache` from two origins, twice', 'each origin reads it every time (`Vary: Origin`)', async (t) => {
    const pages = [await t.page('app'), await t.page('second')];
    for (const page of [...pages, ...pages]) {
      assert.equal((await t.call(page, `${t.api}/ping`, { cache: 'force-cache' })).status, 200);
    }
    const origins = (await t.requests('/ping'), t.entries('/ping').map(({ origin }) => origin));
    assert.deepEqual([...new Set(origins)], [t.origins.app, t.origins.second]);
  }, '1.14, X18'),

  scenario('two-origins-at-once', 'calls from two origins at the same time', 'each reads its answer', async (t) => {
    const pages = [await t.page('app'), await t.page('second')];
    const calls = pages.flatMap((page) => Array.from({ length: 5 }, () => t.call(page, t.api + MLP, postJson(FOUR_NUMBERS))));
    (await Promise.all(calls)).forEach(assertNumbers);
  }, '1.45'),
];
