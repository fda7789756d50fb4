// Inputs and the answers that PyTorch gives to them, read from the repository's golden files.
import assert from 'node:assert/strict';
import fs from 'node:fs';

const read = (path) => fs.readFileSync(new URL(`../../${path}`, import.meta.url));

const plain = JSON.parse(read('tests/goldens/archives.json')).archives.mlp.plain[0];
const expected = JSON.parse(read('models/samples/expected.json'));
const SEVEN = 'digit_7_a.png';

/** Four numbers for the model `mlp`. */
export const FOUR_NUMBERS = plain.body;

/** A picture of a seven, 28 by 28, for the model `digits`. */
export const PICTURE = { base64: read(`models/samples/${SEVEN}`).toString('base64'), type: 'image/png', name: SEVEN };

/** A POST of JSON: not simple, so it needs a preflight. */
export const postJson = (value, more = {}) => ({
  method: 'POST',
  ...more,
  headers: { 'Content-Type': 'application/json', ...more.headers },
  body: typeof value === 'string' ? value : JSON.stringify(value),
});

/** A POST of text: simple, so it needs none. */
export const postText = (value, more = {}) => ({
  method: 'POST',
  ...more,
  headers: { 'Content-Type': 'text/plain', ...more.headers },
  body: typeof value === 'string' ? value : JSON.stringify(value),
});

/** The page read `mlp`'s right answer. */
export function assertNumbers(seen) {
  assert.equal(seen.status, 200, JSON.stringify(seen));
  const answer = JSON.parse(seen.text);
  assert.equal(answer.length, plain.answer.length);
  plain.answer.forEach((number, at) => assert.ok(Math.abs(number - answer[at]) < 1e-5, `${answer} is not ${plain.answer}`));
}

/** The page read that the picture is a seven, as sure as PyTorch is. */
export function assertSeven(seen) {
  assert.equal(seen.status, 200, JSON.stringify(seen));
  const answer = JSON.parse(seen.text);
  const { digit, probabilities } = expected.samples[SEVEN];
  const best = Object.keys(answer).reduce((a, b) => (answer[a] >= answer[b] ? a : b));
  assert.equal(best, String(digit));
  assert.ok(Math.abs(answer[best] - probabilities[best]) <= expected.abs_tol, seen.text);
}

/** The page read TorchServe's JSON for an error. */
export function assertError(seen, status, type) {
  assert.equal(seen.status, status, JSON.stringify(seen));
  const body = JSON.parse(seen.text);
  assert.equal(body.code, status);
  assert.equal(body.type, type);
  assert.equal(typeof body.message, 'string');
}

/** The page got nothing but a TypeError. */
export function assertRefused(seen) {
  assert.equal(seen.error, 'TypeError', JSON.stringify(seen));
  assert.equal(seen.status, undefined);
  assert.equal(seen.text, undefined);
}

/** The three lines of the access log that most scenarios expect. */
export const PREFLIGHT = 'OPTIONS 204 preflight/allowed/ok';
export const POSTED = 'POST 200 actual/allowed/ok';
export const refusedPreflight = (reason) => `OPTIONS 403 preflight/denied/${reason}`;
