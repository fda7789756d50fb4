// The servers that the scenarios run against: a policy's name -> lines of config.properties, given
// the origins and ports of the pages. Each is started once per browser.

/**
 * `models` are loaded; `lines` are added to config.properties, `files` put beside it; `scheme` is how
 * pages reach the inference API; a server that says `unavailable` cannot run the scenarios.
 */
export const POLICIES = {
  // A team's front ends on an exact list; management is left alone, as by default.
  list: ({ app, second, mapped, secure }) => ({
    models: ['mlp', 'echo', 'digits', 'error_on_negative'],
    lines: [
      `cors.allowed.origin=${[app, second, mapped, secure].join(', ')}`,
      'cors.allowed.methods=GET, POST, PUT, OPTIONS',
      'cors.allowed.headers=X-Custom-Token, Authorization',
      'cors.exposed.headers=X-Request-Id',
      'max_request_size=200000',
    ],
  }),
  // One worker and room for one job: what an overloaded server tells a page.
  queue: ({ app }) => ({
    models: ['slow', 'mlp'],
    lines: [`cors.allowed.origin=${app}`, 'job_queue_size=1'],
  }),
  // Development: any origin, and everything that `*` can stand for.
  any: () => ({
    models: ['mlp', 'echo'],
    lines: ['cors.allowed.origin=*', 'cors.allowed.headers=*', 'cors.exposed.headers=*'],
  }),
  // Cookies, no preflight cache, and one model that is public.
  credentials: ({ app }) => ({
    models: ['mlp', 'echo'],
    lines: [
      `cors.allowed.origin=${app}`,
      'cors.allow.credentials=true',
      'cors.max.age=0',
      'cors.model.echo.allowed.origin=*',
      'cors.model.echo.allow.credentials=false',
    ],
  }),
  // Subdomains on one port, localhost on every port, and an administrator's page.
  patterns: ({ app }, { p1 }) => ({
    models: ['mlp'],
    lines: [
      `cors.allowed.origin=http://*.localhost:${p1}, http://localhost:*`,
      `management_cors.allowed.origin=${app}`,
      'management_cors.allowed.methods=GET, PUT, OPTIONS',
      `metrics_cors.allowed.origin=${app}`,
    ],
  }),
  // The underscore names of TorchServe, as its React example sets them.
  torchserve: () => ({
    models: ['digits'],
    lines: ['cors_allowed_origin=*', 'cors_allowed_methods=GET, POST, PUT, OPTIONS', 'cors_allowed_headers=*'],
  }),
  // Foreign pages are refused by the server itself, not only by the browser.
  block: ({ app }) => ({
    models: ['mlp'],
    lines: [`cors.allowed.origin=${app}`, 'cors.block.disallowed=all'],
  }),
  // Refused preflights say in the console what is missing.
  debug: ({ app }) => ({
    models: ['mlp'],
    lines: [`cors.allowed.origin=${app}`, 'cors.debug=true'],
  }),
  // A list for many customers, in a file beside config.properties.
  file: ({ app }) => ({
    models: ['mlp'],
    lines: ['cors.allowed.origin.file=origins.txt'],
    files: { 'origins.txt': `# one origin a line\nhttps://customer.example\n${app}\n` },
  }),
  // The same, and the file changes while the server runs.
  reload: () => ({
    models: ['mlp'],
    lines: ['cors.allowed.origin.file=origins.txt', 'cors.allowed.origin.file.reload.s=1'],
    files: { 'origins.txt': 'https://customer.example\n' },
  }),
  // Pages report what became of their calls.
  reports: ({ app }) => ({
    models: ['mlp'],
    lines: [`cors.allowed.origin=${app}`, 'cors.exposed.headers=X-Request-Id', 'cors.report.enabled=true'],
  }),
  // Nothing configured.
  off: () => ({ models: ['mlp'], lines: [] }),
  // Clients need a token.
  token: ({ app }) => ({
    models: ['mlp'],
    lines: [`cors.allowed.origin=${app}`, 'cors.allowed.headers=Authorization', 'disable_token_authorization=false'],
    unavailable: /token authorization is not available in this version/,
  }),
  // The API itself over TLS.
  tls: ({ secure }, _ports, { key, cert }) => ({
    models: ['mlp'],
    scheme: 'https',
    lines: [`cors.allowed.origin=${secure}`, `private_key_file=${key}`, `certificate_file=${cert}`],
  }),
};
