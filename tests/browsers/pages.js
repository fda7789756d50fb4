// The web sites whose pages call the API: small static servers, each an origin of its own. Called
// by run.js, which starts them once; scenarios name an origin by its key.
//
// All listen on 127.0.0.1; what makes an origin is the scheme, the name and the port in the URL.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';

const PAGE = '<!doctype html><meta charset="utf-8"><title>page</title><link rel="icon" href="data:,"><body></body>';

// A worker that does what it is told and answers what it saw. `call` is call_in_page.js, the same
// text that pages get.
const WORKER = `
  const answer = (port) => async ({ data }) => port.postMessage(await globalThis.torchfrontCall(...data));
  if ('SharedWorkerGlobalScope' in self) {
    self.onconnect = ({ ports: [port] }) => { port.onmessage = answer(port); };
  } else {
    self.onmessage = answer(self);
  }`;

const SERVICE_WORKER = `
  self.addEventListener('install', () => self.skipWaiting());
  self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
  self.addEventListener('fetch', (event) => {
    if (event.request.url.includes('/predictions/')) event.respondWith(fetch(event.request));
  });`;

/** What runs in the page; also the head of every worker. */
export const CALL_IN_PAGE = fs.readFileSync(new URL('./call_in_page.js', import.meta.url), 'utf8');

/** The source of a worker that has the caller in it, for data: and blob: URLs too. */
export const WORKER_SOURCE = `${CALL_IN_PAGE}\n${WORKER}`;

/** A key and certificate for this run only, valid for a day. */
export function makeCertificate() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'torchfront-certificate-'));
  const [key, cert] = [path.join(folder, 'key.pem'), path.join(folder, 'cert.pem')];
  const names = 'subjectAltName=DNS:localhost,DNS:app.localhost,DNS:api.test,IP:127.0.0.1';
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1',
      '-subj', '/CN=localhost', '-addext', names, '-keyout', key, '-out', cert],
    { stdio: 'pipe' },
  );
  return { key, cert, remove: () => fs.rmSync(folder, { recursive: true, force: true }) };
}

/** Three page servers: two over http on different ports, one over https. */
export async function startPages(certificate) {
  const answer = (request, response) => respond(request, response);
  const first = http.createServer(answer);
  const second = http.createServer(answer);
  const secure = https.createServer(
    { key: fs.readFileSync(certificate.key), cert: fs.readFileSync(certificate.cert) },
    answer,
  );
  const servers = [first, second, secure];
  for (const server of servers) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  }
  const [p1, p2, tls] = servers.map((server) => server.address().port);
  const origins = {
    app: `http://app.localhost:${p1}`,
    second: `http://second.localhost:${p2}`,
    mapped: `http://app.test:${p1}`,
    secure: `https://app.localhost:${tls}`,
    foreign: `http://foreign.localhost:${p1}`,
    foreignMapped: `http://foreign.test:${p2}`,
    appOtherPort: `http://app.localhost:${p2}`,
    prefixed: `http://xapp.localhost:${p1}`,
    suffixed: `http://app.localhost.localhost:${p1}`,
    deep: `http://a.b.localhost:${p1}`,
    apex: `http://localhost:${p1}`,
    apexOtherPort: `http://localhost:${p2}`,
    loopback: `http://127.0.0.1:${p1}`,
  };
  const stop = async () => {
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
  };
  return { origins, ports: { p1, p2, tls }, stop };
}

function respond(request, response) {
  const url = new URL(request.url, 'http://page');
  const send = (type, text) => response.setHeader('content-type', type).end(text);
  switch (url.pathname) {
    case '/worker.js':
      return send('text/javascript', WORKER_SOURCE);
    case '/service-worker.js':
      return send('text/javascript', SERVICE_WORKER);
    case '/redirect':
      // Readable by every page, so that only the API's answer decides.
      response.setHeader('access-control-allow-origin', '*');
      response.setHeader('access-control-allow-headers', 'content-type');
      if (request.method === 'OPTIONS') return response.writeHead(204).end();
      return response.writeHead(307, { location: url.searchParams.get('to') }).end();
    default:
      return send('text/html; charset=utf-8', PAGE);
  }
}
