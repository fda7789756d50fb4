// The places that script runs in, and the ways other than a plain fetch by which it sends.
import assert from 'node:assert/strict';
import { assertNumbers, assertRefused, FOUR_NUMBERS, POSTED, postJson, postText, PREFLIGHT, refusedPreflight } from '../samples.js';

const MLP = '/predictions/mlp';
const ECHO = '/predictions/echo';
const NULL_POST = 'POST 200 actual/denied/origin_null';

const scenario = (id, what, expect, run, seed) => ({ id, policy: 'list', what, expect, seed, run });

export default [
  scenario('web-worker', 'calls from a worker', 'as the page: preflight and answer', async (t) => {
    assertNumbers(await t.inWorker(await t.page(), 'own', t.api + MLP, postJson(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
    assert.ok(t.entries(MLP).every(({ origin }) => origin === t.origins.app));
  }, 'G39'),

  scenario('blob-worker', 'calls from a worker made of a blob: URL', 'as the page: it has the page\'s origin', async (t) => {
    assertNumbers(await t.inWorker(await t.page(), 'blob', t.api + MLP, postJson(FOUR_NUMBERS)));
    assert.ok((await t.requests(MLP)).length === 2 && t.entries(MLP).every(({ origin }) => origin === t.origins.app));
  }, 'G39'),

  scenario('shared-worker', 'calls from a shared worker', 'as the page', async (t) => {
    assertNumbers(await t.inWorker(await t.page(), 'shared', t.api + MLP, postJson(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
  }, 'G39'),

  scenario('data-worker', 'calls from a worker made of a data: URL', 'refused where the browser sends the origin `null` (Firefox); as the page where it sends the page\'s (Chromium)', async (t) => {
    const seen = await t.inWorker(await t.page(), 'data', t.api + MLP, postJson(FOUR_NUMBERS));
    const requests = await t.requests(MLP);
    const [{ origin }] = t.entries(MLP);
    if (origin === 'null') {
      assertRefused(seen);
      assert.deepEqual(requests, [refusedPreflight('origin_null')]);
    } else {
      assert.equal(origin, t.origins.app);
      assertNumbers(seen);
    }
    assert.ok(t.isChromium || origin === 'null');
  }, 'G39, X16'),

  scenario('service-worker', 'calls through a service worker that passes it on', 'as the page', async (t) => {
    const page = await t.page();
    const controlled = await page.evaluate(async () => {
      if (!navigator.serviceWorker) return false;
      await navigator.serviceWorker.register('/service-worker.js');
      if (!navigator.serviceWorker.controller) {
        await new Promise((resolve) => navigator.serviceWorker.addEventListener('controllerchange', resolve, { once: true }));
      }
      return true;
    });
    if (!controlled) t.skip('no service workers here');
    assertNumbers(await t.call(page, t.api + MLP, postJson(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
  }),

  scenario('sandboxed-frame', 'calls from a frame with `sandbox="allow-scripts"`', 'origin `null`: the preflight is refused; a simple POST is answered and unreadable', async (t) => {
    const page = await t.page();
    assertRefused(await t.inSandbox(page, t.api + MLP, postJson(FOUR_NUMBERS)));
    assertRefused(await t.inSandbox(page, t.api + MLP, postText(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [refusedPreflight('origin_null'), NULL_POST]);
  }),

  scenario('keepalive-fetch', 'fetches with `keepalive: true` and is closed at once', 'the POST arrives', async (t) => {
    const page = await t.page();
    await page.evaluate((url) => void fetch(url, { method: 'POST', body: '[1]', keepalive: true }), t.api + ECHO);
    await page.close();
    const { status, cors } = await t.answered('POST', ECHO);
    assert.deepEqual([status, cors], ['200', 'actual/allowed/ok']);
  }),

  scenario('keepalive-json', 'fetches JSON with `keepalive: true`', 'preflight and answer', async (t) => {
    assertNumbers(await t.callFrom('app', t.api + MLP, postJson(FOUR_NUMBERS, { keepalive: true })));
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
  }),

  scenario('beacon-text', 'sends a beacon of text', 'it arrives, without a preflight', async (t) => {
    const body = { text: '[1]', type: 'text/plain' };
    assert.deepEqual(await t.callFrom('app', t.api + ECHO, { via: 'beacon', body }), { queued: true });
    const { status } = await t.answered('POST', ECHO);
    assert.equal(status, '200');
    assert.deepEqual(await t.requests(ECHO), [POSTED]);
  }, 'U4'),

  scenario('beacon-json', 'sends a beacon of JSON where credentials are off', 'preflighted, then given up: beacons always carry credentials', async (t) => {
    const body = { text: '[1]', type: 'application/json' };
    const page = await t.page();
    assert.deepEqual(await t.call(page, t.api + ECHO, { via: 'beacon', body }), { queued: true });
    await t.answered('OPTIONS', ECHO);
    // Answered after whatever the beacon would still send on the same path.
    assert.equal((await t.call(page, `${t.api}/ping`)).status, 200);
    assert.deepEqual(await t.requests(ECHO), [PREFLIGHT]);
  }, 'U4'),

  {
    ...scenario('beacon-json-with-credentials', 'sends a beacon of JSON where credentials are on', 'preflight, then it arrives', async (t) => {
      const body = { text: JSON.stringify(FOUR_NUMBERS), type: 'application/json' };
      assert.deepEqual(await t.callFrom('app', t.api + MLP, { via: 'beacon', body }), { queued: true });
      await t.answered('POST', MLP);
      assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
    }, 'U4'),
    policy: 'credentials',
  },

  scenario('redirect-by-own-site', 'POSTs JSON to its own site, which redirects to the API (307)', 'preflight and answer as without the redirect', async (t) => {
    const url = `${t.origins.app}/redirect?to=${encodeURIComponent(t.api + MLP)}`;
    const seen = await t.callFrom('app', url, postJson(FOUR_NUMBERS));
    assertNumbers(seen);
    assert.equal(seen.redirected, true);
    assert.deepEqual(await t.requests(MLP), [PREFLIGHT, POSTED]);
  }),

  scenario('redirect-by-other-site', 'POSTs text to another site, which redirects to the API', 'the origin becomes `null`: answered, unreadable', async (t) => {
    const url = `${t.origins.second}/redirect?to=${encodeURIComponent(t.api + MLP)}`;
    assertRefused(await t.callFrom('app', url, postText(FOUR_NUMBERS)));
    assert.deepEqual(await t.requests(MLP), [NULL_POST]);
  }, '1.13'),

  scenario('mode-same-origin', 'fetches with `mode: same-origin`', 'TypeError, nothing is sent', async (t) => {
    assertRefused(await t.callFrom('app', t.api + MLP, postText(FOUR_NUMBERS, { mode: 'same-origin' })));
    assert.deepEqual(await t.requests(MLP), []);
  }),

  scenario('mode-no-cors', 'fetches with `mode: no-cors`', 'sent, but opaque: no status, no body, no headers', async (t) => {
    const seen = await t.callFrom('app', t.api + MLP, postText(FOUR_NUMBERS, { mode: 'no-cors' }));
    assert.deepEqual([seen.type, seen.status, seen.text, seen.headers], ['opaque', 0, '', {}]);
    assert.deepEqual(await t.requests(MLP), [POSTED]);
  }),

  scenario('event-source', 'opens an EventSource on an answer that is no event stream', 'an error event and a closed source; the server goes on', async (t) => {
    const page = await t.page();
    const open = (url) =>
      page.evaluate(
        (url) =>
          new Promise((resolve) => {
            const source = new EventSource(url);
            source.onopen = () => resolve('open');
            source.onerror = () => resolve(source.readyState === EventSource.CLOSED ? 'closed' : 'trying again');
          }),
        url,
      );
    assert.equal(await open(`${t.api}/ping`), 'closed');
    assert.deepEqual(await t.requests('/ping'), ['GET 200 actual/allowed/ok']);
    assertNumbers(await t.call(page, t.api + MLP, postJson(FOUR_NUMBERS)));
  }),

  scenario('image-and-script', 'uses an answer as an image and as a script', 'error events: JSON with `nosniff` is neither', async (t) => {
    const page = await t.page();
    const outcome = (tag) =>
      page.evaluate(
        (tag, url) =>
          new Promise((resolve) => {
            const element = document.createElement(tag);
            element.onload = () => resolve('load');
            element.onerror = () => resolve('error');
            element.src = url;
            document.body.append(element);
          }),
        tag,
        `${t.api}/ping`,
      );
    assert.deepEqual([await outcome('img'), await outcome('script')], ['error', 'error']);
  }, '2.121'),

  scenario('streaming-upload', 'sends a ReadableStream as the body over HTTP/1.1', 'TypeError, nothing half done (Chromium wants HTTP/2)', async (t) => {
    const page = await t.page();
    const seen = await page.evaluate(async (url) => {
      let duplexRead = false;
      const probe = new Request(url, { method: 'POST', body: new ReadableStream(), get duplex() { duplexRead = true; return 'half'; } });
      if (!duplexRead || probe.headers.has('Content-Type')) return { unsupported: true };
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(new TextEncoder().encode('[1]'));
          controller.close();
        },
      });
      try {
        return { status: (await fetch(url, { method: 'POST', body, duplex: 'half' })).status };
      } catch (error) {
        return { error: error.name };
      }
    }, t.api + MLP);
    if (seen.unsupported) t.skip('this browser cannot send a stream as a body');
    assertRefused(seen);
    assert.deepEqual((await t.requests(MLP)).filter((line) => line.startsWith('POST')), []);
    assertNumbers(await t.call(page, t.api + MLP, postText(FOUR_NUMBERS)));
  }),
];
