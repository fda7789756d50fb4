// Pages that are not on the list, those that look as if they were, and servers without CORS.
import assert from 'node:assert/strict';
import { assertNumbers, assertRefused, FOUR_NUMBERS, postJson, postText, refusedPreflight } from '../samples.js';

const MLP = '/predictions/mlp';
const UNREADABLE_POST = 'POST 200 actual/denied/origin_not_listed';

const scenario = (id, what, expect, run, seed) => ({ id, policy: 'list', what, expect, seed, run });

/** Both kinds of request by a page that the list does not have. */
const lookAlike = (id, origin, what) =>
  scenario(id, what, 'JSON: preflight refused; text: answered, unreadable', async (t) => {
    const page = await t.page(origin);
    assertRefused(await t.call(page, t.api + MLP, postJson(FOUR_NUMBERS)));
    assertRefused(await t.call(page, t.api + MLP, postText(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [refusedPreflight('origin_not_listed'), UNREADABLE_POST]);
  }, 'G19, F7');

export default [
  scenario('foreign-json', 'POSTs JSON from an unlisted origin', 'TypeError; the POST is never sent', async (t) => {
    assertRefused(await t.callFrom('foreign', t.api + MLP, postJson(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [refusedPreflight('origin_not_listed')]);
  }, '0.13'),

  scenario('foreign-text', 'POSTs text from an unlisted origin', 'answered with 200, yet a TypeError for the page', async (t) => {
    assertRefused(await t.callFrom('foreign', t.api + MLP, postText(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [UNREADABLE_POST]);
  }, '0.13, 2.34'),

  scenario('foreign-xhr', 'does the same with XMLHttpRequest', 'error event, status 0, no text', async (t) => {
    const seen = await t.callFrom('foreign', t.api + MLP, { via: 'xhr', ...postText(FOUR_NUMBERS) });
    assert.deepEqual(seen, { error: 'error', status: 0, text: '' });
  }),

  scenario('foreign-error', 'causes an error from an unlisted origin', 'unreadable as well', async (t) => {
    assertRefused(await t.callFrom('foreign', `${t.api}/no/such/route`));
    assert.deepEqual(await t.requests('/no/such/route'), ['GET 404 actual/denied/origin_not_listed']);
  }),

  scenario('foreign-event-source', 'opens an EventSource from an unlisted origin', 'a closed source', async (t) => {
    const page = await t.page('foreign');
    const state = await page.evaluate(
      (url) =>
        new Promise((resolve) => {
          const source = new EventSource(url);
          source.onerror = () => resolve(source.readyState);
          source.onopen = () => resolve('open');
        }),
      `${t.api}/ping`,
    );
    assert.equal(state, 2);
  }),

  lookAlike('other-port', 'appOtherPort', 'calls from the listed name on another port'),
  lookAlike('prefixed-name', 'prefixed', 'calls from `xapp.localhost`'),
  lookAlike('suffixed-name', 'suffixed', 'calls from `app.localhost.localhost`'),
  lookAlike('apex-name', 'apex', 'calls from `localhost`, the listed name without its first label'),
  lookAlike('foreign-machine', 'foreignMapped', 'calls from `http://foreign.test`, not a loopback name'),

  scenario('other-scheme', 'calls from `https://second.localhost`, listed with http only', 'refused', async (t) => {
    const page = await t.page(`https://second.localhost:${t.ports.tls}/`);
    assertRefused(await t.call(page, t.api + MLP, postJson(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [refusedPreflight('origin_not_listed')]);
  }, 'G1'),

  scenario('trailing-dot-name', 'calls from `app.localhost.`, with the dot of a full name', 'refused', async (t) => {
    let page;
    try {
      page = await t.page(`http://app.localhost.:${t.ports.p1}/`);
    } catch (error) {
      t.skip(`this browser does not open such a page: ${error.message}`);
    }
    assertRefused(await t.call(page, t.api + MLP, postText(FOUR_NUMBERS)));
    assert.equal((await t.requests(MLP)).filter((line) => line.includes('allowed')).length, 0);
  }),

  scenario('page-of-the-api-itself', 'POSTs JSON from a page of the API\'s own origin, not listed', 'same origin: no preflight, readable', async (t) => {
    const page = await t.page(`${t.api}/ping`);
    assertNumbers(await t.call(page, t.api + MLP, postJson(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [UNREADABLE_POST]);
  }, '1.1'),

  {
    ...scenario('off-foreign', 'POSTs JSON and text where no origin is configured', 'both unreadable; the JSON is never sent', async (t) => {
      const page = await t.page();
      assertRefused(await t.call(page, t.api + MLP, postJson(FOUR_NUMBERS)));
      assertRefused(await t.call(page, t.api + MLP, postText(FOUR_NUMBERS)));
      const methods = (await t.requests(MLP)).map((line) => line.split(' ').slice(0, 2).join(' '));
      assert.deepEqual(methods, ['OPTIONS 200', 'POST 200']);
    }, '0.1'),
    policy: 'off',
  },
  {
    ...scenario('off-same-origin', 'POSTs JSON from the API\'s own origin where CORS is off', 'readable', async (t) => {
      assertNumbers(await t.callFrom(`${t.api}/ping`, t.api + MLP, postJson(FOUR_NUMBERS)));
    }, '1.1'),
    policy: 'off',
  },
  {
    ...scenario('block-foreign', 'POSTs text from an unlisted origin where `cors.block.disallowed=all`', 'the server itself answers 403: the model never runs', async (t) => {
      assertRefused(await t.callFrom('foreign', t.api + MLP, postText(FOUR_NUMBERS)));
      assert.deepEqual(await t.requests(MLP), ['POST 403 actual/blocked/cross_site_write']);
    }, '0.13, 1.17'),
    policy: 'block',
  },
  {
    ...scenario('block-foreign-read', 'GETs /ping and loads it as an image there', 'both answered with 403', async (t) => {
      const page = await t.page('foreign');
      assertRefused(await t.call(page, `${t.api}/ping`));
      assert.equal((await t.call(page, `${t.api}/ping`, { mode: 'no-cors' })).type, 'opaque');
      assert.deepEqual((await t.requests('/ping')).map((line) => line.split(' ')[1]), ['403', '403']);
    }, '0.13'),
    policy: 'block',
  },
  {
    ...scenario('block-listed-and-own', 'calls from the listed and from the API\'s own origin there', 'both readable', async (t) => {
      assertNumbers(await t.callFrom('app', t.api + MLP, postJson(FOUR_NUMBERS)));
      assertNumbers(await t.callFrom(`${t.api}/ping`, t.api + MLP, postJson(FOUR_NUMBERS)));
    }, '1.1'),
    policy: 'block',
  },
];
