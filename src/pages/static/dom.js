// What both pages share: making elements, and asking this server. Text of others goes in as text:
// nothing here or there reads markup.

/** An element: its attributes (`class`, `text`, `on...` as listeners), its children. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key === 'text') element.textContent = value;
    else if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value === true ? '' : String(value));
  }
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
}

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** A table with a caption for those who do not see it; cells are text, or elements. */
export function table(caption, heads, rows) {
  const cell = (name, scope) => (value) => {
    const attributes = { scope, class: typeof value === 'number' ? 'number' : undefined };
    return value instanceof Node ? make(name, attributes, value) : make(name, { ...attributes, text: value });
  };
  return make('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': `Table: ${caption}` },
    make('table', {},
      make('caption', { class: 'said', text: caption }),
      make('thead', {}, make('tr', {}, ...heads.map(cell('th', 'col')))),
      make('tbody', {}, ...rows.map(([first, ...rest]) => make('tr', {}, cell('th', 'row')(first), ...rest.map(cell('td')))))));
}

/** An answer that is an error, with the server's words. */
export class Refused extends Error {
  constructor(status, message, wantsKey) {
    super(message);
    this.status = status;
    this.wantsKey = wantsKey;
  }
}

// The key stays in this variable: no storage, no cookie, gone with the page.
let key = '';

/** Sends this key from now on. */
export const useKey = (given) => { key = given.trim(); };

/** The headers that carry the key. */
export const authorization = () => (key ? { Authorization: `Bearer ${key}` } : {});

/** JSON of this server. */
export async function ask(path) {
  const response = await fetch(path, { headers: authorization(), cache: 'no-store', credentials: 'omit', redirect: 'error' });
  const text = await response.text();
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    throw new Refused(response.status, `status ${response.status}, and no JSON`, false);
  }
  if (response.ok) return body;
  throw new Refused(response.status, String(body.message ?? `status ${response.status}`), response.headers.has('www-authenticate'));
}
