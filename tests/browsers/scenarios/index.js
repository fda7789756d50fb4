// All scenarios, in the order of README.md's table.
import anyOrigin from './any_origin.js';
import contexts from './contexts.js';
import credentials from './credentials.js';
import errors from './errors.js';
import foreign from './foreign.js';
import management from './management.js';
import messages from './messages.js';
import patterns from './patterns.js';
import predictions from './predictions.js';
import preflights from './preflights.js';
import reports from './reports.js';
import tokenAndTls from './token_and_tls.js';

/** { id, policy, what, expect, seed?, run(scene) } each; `seed` is an item of cors.md, section F. */
export const SCENARIOS = [
  ...predictions,
  ...errors,
  ...preflights,
  ...contexts,
  ...foreign,
  ...messages,
  ...management,
  ...anyOrigin,
  ...credentials,
  ...patterns,
  ...reports,
  ...tokenAndTls,
];
