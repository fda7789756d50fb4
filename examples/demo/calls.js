// One call to the model server, and everything that can be known about it: what the script sees, and
// what the server's access log says, which the page's own server hands out.

// How a picture can be sent. `simple` is what Fetch calls simple: the browser does not ask first.
export const FORMS = {
  image: (type) => ({ 'Content-Type': type }),
  simple: () => ({ 'Content-Type': 'text/plain' }),
  header: (type) => ({ 'Content-Type': type, 'X-Custom-Token': '1' }),
};

export class Calls {
  // The latest lines of the access log that this page caused, oldest first.
  #log = [];
  #newest = 0;

  // `logged` is called with new lines.
  constructor(api, logged) {
    this.api = api;
    this.logged = logged;
  }

  // What happened before this page was loaded is not its own.
  async start() {
    this.#newest = (await this.#ask(Number.MAX_SAFE_INTEGER)).newest;
  }

  // Sends `body` (a Blob). Throws only an AbortError: every other end is an outcome to show.
  async send(path, body, form, signal) {
    const before = this.#newest;
    const started = performance.now();
    const outcome = { path, form, url: this.api + path };
    try {
      // A typed Blob would set a Content-Type of its own.
      const options = { method: 'POST', headers: FORMS[form](body.type), body: await body.arrayBuffer(), signal };
      const response = await fetch(outcome.url, options);
      outcome.text = await response.text();
      outcome.status = response.status;
      outcome.headers = [...response.headers];
    } catch (error) {
      if (error.name === 'AbortError') throw error;
      outcome.error = error;
    }
    outcome.ms = performance.now() - started;
    await this.refresh();
    const lines = this.#log.filter((line) => line.number > before && line.path === path);
    const id = outcome.headers?.find(([name]) => name === 'x-request-id')?.[1];
    const posts = lines.filter((line) => line.method === 'POST');
    outcome.asked = lines.findLast((line) => line.method === 'OPTIONS');
    outcome.served = posts.find((line) => line.request_id === id) ?? posts.at(-1);
    return outcome;
  }

  async refresh() {
    let answer = await this.#ask(this.#newest);
    // A server that was restarted counts from 1 again.
    if (answer.newest < this.#newest) {
      this.#newest = 0;
      answer = await this.#ask(0);
    }
    // Two calls may ask at the same time.
    const fresh = answer.lines.filter((line) => line.number > this.#newest);
    this.#newest = Math.max(this.#newest, answer.newest);
    this.#log = [...this.#log, ...fresh].slice(-200);
    this.logged(fresh);
  }

  // The heads of a call that the page's server repeats outside of a browser.
  async replay(body, form) {
    const response = await fetch(`/replay?form=${form}`, { method: 'POST', body });
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  }

  async #ask(after) {
    return (await fetch(`/seen?after=${after}`)).json();
  }
}
