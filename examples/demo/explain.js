// Words for what happened. No element of the page is known here.

const firefox = navigator.userAgent.includes('Firefox/');
const chromium = !firefox && navigator.userAgent.includes('Chrome/');

export const ms = (value) => value < 0.1 ? '< 0.1 ms' : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;

export function percent(share) {
  if (share > 0.9995 && share < 1) return '> 99.9 %';
  if (share < 0.001) return '< 0.1 %';
  return `${(share * 100).toFixed(1)} %`;
}

// `cors` of a log line is kind/verdict/reason.
export function reason(line) {
  return line?.cors?.split('/')[2];
}

export function verdict(line) {
  const [kind, word, why] = (line.cors ?? 'none/off/off').split('/');
  const subject = kind === 'preflight' ? 'preflight ' : '';
  if (word === 'allowed') return `${subject}allowed`;
  const because = why.replaceAll('_', ' ');
  return kind === 'actual' && word === 'denied' ? `served, not shared: ${because}` : `${subject}refused: ${because}`;
}

// Was the browser's question asked? `since` is when it last was, for this URL and form.
export function preflight(outcome, since, maxAge) {
  if (outcome.asked) {
    return !outcome.error
      ? ['asked', `The server's log has the question: OPTIONS, ${outcome.asked.status}, ${ms(outcome.asked.ms)}.`]
      : ['refused', `The server answered ${outcome.asked.status}; the picture was not sent.`];
  }
  if (outcome.form === 'simple') return ['not needed', 'A POST of text/plain is a simple request: browsers send it without asking.'];
  if (outcome.error) return ['unknown', 'The server has seen neither a question nor a call.'];
  const which = since ? `the answer of ${Math.round((performance.now() - since) / 1000)} s ago` : 'an earlier answer';
  return ['cached', `No question in the server's log: the browser remembers ${which} (Access-Control-Max-Age: ${maxAge}).`];
}

// The line of the configuration that would have let this call through.
export function fix(outcome, facts, origin) {
  const list = (old, more) => (old ? `${old}, ${more}` : more);
  switch (reason(outcome.asked ?? outcome.served)) {
    case 'headers_not_listed':
      return `cors.allowed.headers=${list(facts.allowed_headers, 'X-Custom-Token')}`;
    case 'method_not_listed':
      return 'cors.allowed.methods=GET, POST, OPTIONS';
    default:
      return `cors.allowed.origin=${list(facts.allowed_origin, origin)}`;
  }
}

// Why the script got nothing, and what happened to the picture.
export function refusal(outcome, origin) {
  if (!outcome.asked && !outcome.served) {
    return { title: 'No answer', text: 'No request reached the model server. Is it still running?' };
  }
  if (!outcome.asked) {
    return {
      title: 'Served, and kept from this page',
      text: `The server classified the picture and answered ${outcome.served.status}. Its answer does not name this origin, so the browser dropped it. CORS protects answers; it does not stop simple requests.`,
    };
  }
  if (reason(outcome.asked) === 'headers_not_listed') {
    return {
      title: 'The header X-Custom-Token is not listed',
      text: `The browser asked whether ${origin} may send it. The server said no, and the picture never left the browser. The browser's message blames the origin; cors.debug=true makes it name the header.`,
    };
  }
  return {
    title: `${origin} is not listed`,
    text: 'The browser asked whether this page may call. The server said no, and the picture never left the browser.',
  };
}

// What the browser writes to its console. No script can read that: these are the words of Chromium
// and Firefox for this outcome.
export function consoleMessage(outcome, origin) {
  const line = outcome.asked ?? outcome.served;
  if (!line) return null;
  if (chromium) {
    const asked = outcome.asked ? "Response to preflight request doesn't pass access control check: " : '';
    return `Access to fetch at '${outcome.url}' from origin '${origin}' has been blocked by CORS policy: ${asked}No 'Access-Control-Allow-Origin' header is present on the requested resource.`;
  }
  if (firefox) {
    return `Cross-Origin Request Blocked: The Same Origin Policy disallows reading the remote resource at ${outcome.url}. (Reason: CORS header ‘Access-Control-Allow-Origin’ missing). Status code: ${line.status}.`;
  }
  return null;
}

const SAFELISTED = ['cache-control', 'content-language', 'content-length', 'content-type', 'expires', 'last-modified', 'pragma'];

// Each header of an answer's head, and whether the script that made `outcome` could read it.
export function headers(head, outcome) {
  const readable = new Map(outcome.headers);
  const rows = head.split('\r\n').slice(1).map((line) => {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const why = !readable.has(name) ? 'hidden' : SAFELISTED.includes(name) ? 'always' : 'exposed';
    return { name, value: readable.get(name) ?? line.slice(colon + 1).trim(), why };
  });
  const rank = { exposed: 0, always: 1, hidden: 2 };
  return rows
    .filter(({ name }) => name !== 'connection')
    .sort((a, b) => rank[a.why] - rank[b.why] || a.name.localeCompare(b.name));
}
