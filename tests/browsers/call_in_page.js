// Runs in the browser: does one request and says what script could see of it. A plain script, put
// into every page and worker, so it stands alone and adds one name, `torchfrontCall`.
//
// Bodies are told as data because they have to travel to the browser first:
// { text } | { base64, type } | { form: [[name, part]] } | { repeat, type } | { search: [[name, value]] }
globalThis.torchfrontCall = async (url, options = {}) => {
  const { body, via, abortAfterSend, ...init } = options;
  const blob = ({ base64, type }) =>
    new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], { type });
  const made = (part) => {
    if (part === undefined || typeof part === 'string') return part;
    if ('text' in part) return new Blob([part.text], { type: part.type });
    if ('repeat' in part) return new Blob([new Uint8Array(part.repeat)], { type: part.type });
    if ('base64' in part) return part.name ? new File([blob(part)], part.name, { type: part.type }) : blob(part);
    if ('search' in part) return new URLSearchParams(part.search);
    const form = new FormData();
    for (const [name, value] of part.form) form.append(name, made(value));
    return form;
  };
  if (via === 'xhr') {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      let uploaded = 0;
      request.open(init.method ?? 'GET', url);
      for (const [name, value] of Object.entries(init.headers ?? {})) request.setRequestHeader(name, value);
      if (options.uploadListener) request.upload.onprogress = ({ loaded }) => { uploaded = loaded; };
      request.onload = () =>
        resolve({ status: request.status, text: request.responseText, uploaded, raw: request.getAllResponseHeaders() });
      request.onerror = () => resolve({ error: 'error', status: request.status, text: request.responseText });
      request.send(made(body));
    });
  }
  if (via === 'beacon') return { queued: navigator.sendBeacon(url, made(body)) };
  try {
    const response = await fetch(url, { ...init, body: made(body) });
    return {
      status: response.status,
      type: response.type,
      redirected: response.redirected,
      text: await response.text(),
      headers: Object.fromEntries(response.headers),
    };
  } catch (error) {
    return { error: error.name, message: error.message };
  }
};
