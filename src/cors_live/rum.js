// Tells the server what became of this page's calls to it: counts, no addresses, no contents.
(function () {
  'use strict';
  var script = document.currentScript;
  var server = new URL(script.src, location.href).origin;
  if (server === location.origin || !window.fetch || !navigator.sendBeacon) return;
  var report = server + '__REPORT__';
  var listed = script.dataset.expect === undefined ? '__EXPECT__' : script.dataset.expect;
  var expected = listed.split(',').map(function (name) { return name.trim(); }).filter(Boolean);
  var simpleTypes = /^(application\/x-www-form-urlencoded|multipart\/form-data|text\/plain)\s*(;|$)/i;
  var simpleHeaders = /^(accept|accept-language|content-language|content-type|range)$/i;
  var fetch = window.fetch;
  var counts = {};

  function add(outcome) { counts[outcome] = (counts[outcome] || 0) + 1; }

  function needsPreflight(method, headers) {
    if (!/^(GET|HEAD|POST)$/i.test(method)) return true;
    var needed = false;
    headers.forEach(function (value, name) {
      if (!simpleHeaders.test(name)) needed = true;
      if (name === 'content-type' && !simpleTypes.test(value)) needed = true;
    });
    return needed;
  }

  // A call that failed is never repeated: it may have done something. This one does nothing.
  function explain(outcome) {
    fetch(server + '/ping', { mode: 'no-cors', cache: 'no-store', credentials: 'omit' })
      .then(function () { add(outcome); }, function () { add('network'); });
  }

  window.fetch = function (input, init) {
    var from = input instanceof Request ? input : {};
    var own = init || {};
    var url;
    try { url = new URL(from.url || input, location.href); } catch (error) { /* fetch will say so */ }
    var answer = fetch.apply(this, arguments);
    if (!url || url.origin !== server || (own.mode || from.mode) === 'no-cors') return answer;
    var method = own.method || from.method || 'GET';
    var headers;
    try { headers = new Headers(own.headers || from.headers || {}); } catch (error) { return answer; }
    return answer.then(function (response) {
      var hidden = expected.some(function (name) { return !response.headers.has(name); });
      add(hidden ? 'missing_header' : 'ok');
      return response;
    }, function (error) {
      if (error instanceof TypeError) {
        var sendsCredentials = (own.credentials || from.credentials) === 'include';
        explain(sendsCredentials ? 'credentials'
          : needsPreflight(method, headers) ? 'preflight_blocked' : 'blocked');
      }
      throw error;
    });
  };

  function send() {
    if (!Object.keys(counts).length) return;
    var body = JSON.stringify({ v: 1, counts: counts });
    // Plain text needs no preflight: a page that is refused can say so, too.
    if (navigator.sendBeacon(report, new Blob([body], { type: 'text/plain' }))) counts = {};
  }

  setInterval(send, 30000);
  addEventListener('pagehide', send);
  addEventListener('visibilitychange', function () { if (document.hidden) send(); });
})();
