// The API of this listener, from its own OpenAPI document: routes, parameters, schemas, examples, and
// a form to try each. Asks this server only.
import { ask, authorization, byId, make, table, useKey } from './dom.js';

const METHODS = ['get', 'post', 'put', 'patch', 'delete', 'options'];
/** Characters of an answer that are shown. */
const SHOWN = 20_000;
/** Schemas are unfolded this deep. */
const DEPTH = 6;

let description;

// === the document ===

/** What a `$ref` means, a reference or not; references of references are followed a few times. */
function resolved(part, left = DEPTH) {
  const path = part?.$ref;
  if (typeof path !== 'string' || !path.startsWith('#/') || left === 0) return part ?? {};
  const names = path.slice(2).split('/').map((name) => decodeURIComponent(name).replaceAll('~1', '/').replaceAll('~0', '~'));
  return resolved(names.reduce((inner, name) => (inner && Object.hasOwn(inner, name) ? inner[name] : undefined), description), left - 1);
}

const list = (value) => (Array.isArray(value) ? value : [value]);

/** A schema in one line. */
function typeOf(given) {
  const schema = resolved(given);
  const types = list(schema.type ?? (schema.properties ? 'object' : 'any')).join(' or ');
  const parts = [schema.items ? `${types} of ${typeOf(schema.items)}` : types];
  if (schema.format) parts.push(schema.format);
  if (schema.enum) parts.push(`one of ${schema.enum.map((value) => JSON.stringify(value)).join(', ')}`);
  for (const [name, word] of [['minimum', 'at least'], ['maximum', 'at most'], ['minLength', 'length at least'], ['minItems', 'items at least'], ['maxItems', 'items at most']]) {
    if (schema[name] !== undefined) parts.push(`${word} ${schema[name]}`);
  }
  if (schema.default !== undefined) parts.push(`default ${JSON.stringify(schema.default)}`);
  return parts.join(', ');
}

/** A value that a schema allows: its own example, else one made up. */
function sample(given, left = DEPTH) {
  const schema = resolved(given);
  if (schema.example !== undefined) return schema.example;
  if (schema.examples?.length) return schema.examples[0];
  if (schema.const !== undefined) return schema.const;
  if (schema.default !== undefined) return schema.default;
  if (schema.enum) return schema.enum[0];
  const [option] = schema.oneOf ?? schema.anyOf ?? [];
  if (option && left > 0) return sample(option, left - 1);
  const type = list(schema.type ?? (schema.properties ? 'object' : 'null'))[0];
  if (type === 'object' && left > 0) {
    return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, inner]) => [name, sample(inner, left - 1)]));
  }
  if (type === 'array') return left > 0 && schema.items ? Array(Math.min(schema.minItems ?? 1, 16)).fill(sample(schema.items, left - 1)) : [];
  return { string: '', integer: 0, number: 0, boolean: false }[type] ?? null;
}

/** The example of a body or of a parameter, as text. */
function example(media) {
  const named = Object.values(media.examples ?? {})[0];
  const value = media.example ?? resolved(named).value ?? (media.schema ? sample(media.schema) : undefined);
  return typeof value === 'string' ? value : JSON.stringify(value, null, 2) ?? '';
}

/** The members of a schema, one a row, with the path to each. */
function members(given, prefix = '', left = 3) {
  const schema = resolved(given);
  const inner = schema.items ? resolved(schema.items) : schema;
  const path = schema.items ? `${prefix}[]` : prefix;
  return Object.entries(inner.properties ?? {}).flatMap(([name, member]) => {
    const here = path ? `${path}.${name}` : name;
    const needed = (inner.required ?? []).includes(name) ? 'required' : '';
    const row = [make('code', { text: here }), typeOf(member), needed, resolved(member).description ?? ''];
    return [row, ...(left > 0 ? members(member, here, left - 1) : [])];
  });
}

function schemaView(title, media) {
  return Object.entries(media ?? {}).flatMap(([type, content]) => {
    const rows = content.schema ? members(content.schema) : [];
    const about = content.schema ? typeOf(content.schema) : 'any';
    const shown = content.example !== undefined || content.examples ? example(content) : undefined;
    return [
      make('p', {}, make('code', { text: type }), ` ${about}`),
      rows.length ? table(`${title}, ${type}`, ['Member', 'Type', 'Needed', 'Meaning'], rows) : undefined,
      shown === undefined ? undefined : make('pre', { text: shown.slice(0, SHOWN) }),
    ];
  });
}

// === trying ===

function tryForm(path, method, operation, parameters) {
  const content = Object.entries(resolved(operation.requestBody).content ?? {});
  const fields = parameters.map((parameter) => {
    const { name, required, schema } = parameter;
    const known = resolved(schema);
    const attributes = { name: `${parameter.in}:${name}`, required: Boolean(required), spellcheck: 'false' };
    const given = parameter.example ?? known.example ?? known.examples?.[0] ?? '';
    const control = known.enum
      ? make('select', attributes, ...(required ? [] : [make('option', { value: '', text: '' })]), ...known.enum.map((value) => make('option', { text: value })))
      : make('input', { ...attributes, value: given, placeholder: known.default });
    return make('label', {}, `${name} (${parameter.in}${required ? ', required' : ''})`, control);
  });
  const type = make('select', { name: 'type' }, ...content.map(([name]) => make('option', { text: name })));
  const body = make('textarea', { name: 'body', class: 'mono', spellcheck: 'false' });
  const file = make('input', { name: 'file', type: 'file' });
  const isText = () => /json|text|urlencoded|^$/.test(type.value);
  const choose = () => {
    body.closest('label').hidden = !isText();
    file.closest('label').hidden = isText();
    body.value = isText() ? example(Object.fromEntries(content)[type.value] ?? {}) : '';
  };
  const output = make('div', { 'aria-live': 'polite' });
  const form = make('form', {},
    make('div', { class: 'fields' }, ...fields, content.length > 0 ? make('label', {}, 'Content-Type', type) : undefined),
    content.length > 0 ? make('label', {}, 'Body', body) : undefined,
    content.length > 0 ? make('label', {}, 'File', file) : undefined,
    make('div', { class: 'tools' }, make('button', { class: 'main', type: 'submit', text: 'Send' }), make('span', { class: 'hint mono', text: `${method.toUpperCase()} ${path}` })),
    output);
  if (content.length > 0) {
    choose();
    type.addEventListener('change', choose);
  }
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const sent = content.length === 0 ? undefined : isText() ? body.value : file.files[0];
    send(path, method, new FormData(form), content.length > 0 ? type.value : '', sent, output);
  });
  return form;
}

async function send(template, method, form, type, body, output) {
  const query = new URLSearchParams();
  const headers = { ...authorization() };
  // A path of this server alone: each value is one segment.
  let path = template;
  for (const [field, value] of form.entries()) {
    const [place, ...rest] = field.split(':');
    const name = rest.join(':');
    if (typeof value !== 'string' || (value === '' && place !== 'path')) continue;
    if (place === 'path') path = path.replace(`{${name}}`, encodeURIComponent(value));
    else if (place === 'query') query.append(name, value);
    else if (place === 'header') headers[name] = value;
  }
  if (type && !type.includes('*') && body !== undefined) headers['Content-Type'] = type;
  const search = query.size > 0 ? `?${query}` : '';
  const url = new URL(`.${path}${search}`, new URL('./', document.baseURI));
  const started = performance.now();
  try {
    if (url.origin !== location.origin) throw new Error('that is another server');
    const response = await fetch(url, { method: method.toUpperCase(), headers, body: body === '' ? undefined : body, credentials: 'omit', cache: 'no-store', redirect: 'error' });
    const text = await response.text();
    const took = `${(performance.now() - started).toFixed(1)} ms`;
    const lines = [...response.headers].map(([name, value]) => `${name}: ${value}`).join('\n');
    output.replaceChildren(
      make('p', { class: response.ok ? 'good' : 'bad' }, make('strong', { class: 'status', text: `${response.status} ${response.statusText}` }), ` in ${took}`),
      make('pre', { class: 'answer', text: `${text.slice(0, SHOWN)}${text.length > SHOWN ? '\n...' : ''}` }),
      make('pre', { text: lines }),
      make('pre', { class: 'curl', text: curl(url, method, headers, body) }));
  } catch (error) {
    output.replaceChildren(make('p', { class: 'bad', text: `No answer: ${error.message}` }));
  }
}

/** The same request in a shell; the key is a variable there. */
function curl(url, method, headers, body) {
  const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
  const words = ['curl', '-X', method.toUpperCase()];
  for (const [name, value] of Object.entries(headers)) words.push('-H', name === 'Authorization' ? '"Authorization: Bearer $KEY"' : quoted(`${name}: ${value}`));
  if (typeof body === 'string' && body !== '') words.push('--data-binary', quoted(body.slice(0, 2000)));
  else if (body) words.push('--data-binary', quoted(`@${body.name}`));
  words.push(quoted(url));
  return words.join(' ');
}

// === operations ===

function operationView(path, item, method) {
  const operation = item[method];
  const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])].map((parameter) => resolved(parameter));
  const body = resolved(operation.requestBody);
  const open = list(operation.security ?? description.security ?? []).length === 0;
  const responses = Object.entries(operation.responses ?? {}).map(([status, given]) => {
    const response = resolved(given);
    return [make('code', { text: status }), response.description ?? '', Object.keys(response.content ?? {}).join(', ')];
  });
  const good = Object.entries(operation.responses ?? {}).filter(([status]) => status.startsWith('2'));
  const view = make('details', { class: operation.deprecated ? 'deprecated' : undefined, 'data-path': path, 'data-method': method },
    make('summary', {},
      make('span', { class: `method ${method}`, text: method }),
      make('span', { class: 'mono', text: path }),
      make('span', { class: 'soft', text: `${operation.summary ?? ''}${operation.deprecated ? ' (older spelling)' : ''}` })));
  // Built when it is looked at: a hundred models are thousands of rows.
  view.addEventListener('toggle', () => {
    if (!view.open || view.children.length > 1) return;
    view.append(make('div', { class: 'operation' },
      operation.description ? make('p', { text: operation.description }) : undefined,
      open ? undefined : make('p', { class: 'hint', text: 'Needs a key.' }),
      parameters.length > 0 ? make('h3', { text: 'Parameters' }) : undefined,
      parameters.length > 0
        ? table(`Parameters of ${method} ${path}`, ['Name', 'In', 'Type', 'Meaning'], parameters.map((parameter) => [make('code', { text: parameter.name }), `${parameter.in}${parameter.required ? ', required' : ''}`, typeOf(parameter.schema), parameter.description ?? '']))
        : undefined,
      body.content ? make('h3', { text: 'Body' }) : undefined,
      body.description ? make('p', { text: body.description }) : undefined,
      ...schemaView(`Body of ${method} ${path}`, body.content).flat(),
      make('h3', { text: 'Answers' }),
      table(`Answers of ${method} ${path}`, ['Status', 'Meaning', 'Media types'], responses),
      ...good.flatMap(([status, response]) => schemaView(`Answer ${status} of ${method} ${path}`, resolved(response).content)).flat(),
      make('h3', { text: 'Try it' }),
      tryForm(path, method, operation, parameters)));
  });
  return view;
}

/** `/predictions/mlp` and `/predictions/{model_name}` are of one group. */
const group = (path) => `/${path.split('/')[1] ?? ''}`;

function show() {
  const wanted = byId('filter').value.trim().toLowerCase();
  const groups = new Map();
  let count = 0;
  for (const [path, item] of Object.entries(description.paths ?? {})) {
    for (const method of METHODS.filter((name) => item[name])) {
      if (wanted && !`${method} ${path} ${item[method].summary ?? ''}`.toLowerCase().includes(wanted)) continue;
      count += 1;
      if (!groups.has(group(path))) groups.set(group(path), []);
      groups.get(group(path)).push(operationView(path, item, method));
    }
  }
  byId('operations').replaceChildren(...[...groups].map(([name, views]) => make('section', { 'aria-label': name }, make('h2', { text: name }), ...views)));
  byId('count').textContent = `${count} operations.`;
}

try {
  description = await ask('openapi.json');
  byId('title').textContent = description.info?.title ?? 'API';
  byId('version').textContent = description.info?.version ?? '';
  byId('description').textContent = description.info?.description ?? '';
  byId('key-label').hidden = !description.security;
  byId('to-console').hidden = !description.paths?.['/console'];
  byId('key-field').addEventListener('input', ({ target }) => useKey(target.value));
  byId('filter').addEventListener('input', show);
  byId('settings').addEventListener('submit', (event) => event.preventDefault());
  show();
} catch (error) {
  byId('trouble').textContent = `The description could not be read: ${error.message}`;
  byId('trouble').hidden = false;
}
