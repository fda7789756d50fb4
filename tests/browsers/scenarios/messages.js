// What the developer of a page reads in the browser's console when a request is refused.
import assert from 'node:assert/strict';
import { assertNumbers, assertRefused, FOUR_NUMBERS, postJson, postText } from '../samples.js';

const MLP = '/predictions/mlp';

const scenario = (id, policy, what, expect, run, seed) => ({ id, policy, what, expect, seed, run });

/** Both browsers' words for "this is CORS". */
const CORS = /blocked by CORS policy|Cross-Origin Request Blocked/;

export default [
  scenario('console-preflight', 'list', 'has a preflight refused', 'the console says that it is CORS and names the URL', async (t) => {
    const url = `${t.api}${MLP}?console-preflight`;
    assertRefused(await t.callFrom('foreign', url, postJson(FOUR_NUMBERS)));
    await t.consoleMessage(CORS, url);
  }, '0.25, G35'),

  scenario('console-unreadable', 'list', 'may not read an answer', 'the console names the missing header `Access-Control-Allow-Origin`', async (t) => {
    const url = `${t.api}${MLP}?console-unreadable`;
    assertRefused(await t.callFrom('foreign', url, postText(FOUR_NUMBERS)));
    const message = await t.consoleMessage(CORS, url);
    assert.match(message, /Access-Control-Allow-Origin/);
  }, '0.25, G35'),

  scenario('console-debug-header', 'debug', 'sends an unlisted header where `cors.debug=true`', 'the console names the header', async (t) => {
    const url = `${t.api}${MLP}?console-debug-header`;
    assertRefused(await t.callFrom('app', url, postJson(FOUR_NUMBERS, { headers: { 'X-Other': 'a' } })));
    const message = await t.consoleMessage(CORS, url);
    assert.match(message, /x-other/i);
  }, '0.25'),

  scenario('console-debug-method', 'debug', 'sends DELETE where `cors.debug=true`', 'the console names the method or the header with the methods', async (t) => {
    const url = `${t.api}${MLP}?console-debug-method`;
    assertRefused(await t.callFrom('app', url, { method: 'DELETE' }));
    const message = await t.consoleMessage(CORS, url);
    assert.match(message, /Method DELETE|Access-Control-Allow-Methods/);
  }, '0.25'),

  scenario('debug-allowed', 'debug', 'makes an allowed call there', 'works as ever', async (t) => {
    assertNumbers(await t.callFrom('app', t.api + MLP, postJson(FOUR_NUMBERS)));
  }),
];
