/** A browser without a window and without scripts: follows redirects, keeps cookies, fills in the first form of a page. */

export interface Page {
  /** The address it ended at. */
  readonly url: URL;
  readonly status: number;
  readonly html: string;
}

export class Surfer {
  readonly #cookies = new Map<string, Map<string, string>>();

  /** Opens an address. */
  open(url: string | URL): Promise<Page> {
    return this.#go(new URL(url), { method: "GET" });
  }

  /** Sends the first form of a page with its hidden fields, and these; a list of values is sent one by one. */
  submit(page: Page, fields: Readonly<Record<string, string | readonly string[]>> = {}): Promise<Page> {
    const form = /<form[^>]*>/i.exec(page.html)?.[0];
    if (form === undefined) throw new Error(`there is no form on ${page.url.href}:\n${page.html}`);
    const body = new URLSearchParams();
    for (const [input] of page.html.matchAll(/<input[^>]*type="hidden"[^>]*>/gi)) {
      body.append(attribute(input, "name"), attribute(input, "value"));
    }
    for (const [name, values] of Object.entries(fields)) {
      for (const value of [values].flat()) body.append(name, value);
    }
    const action = new URL(attribute(form, "action") || page.url.href, page.url);
    return this.#go(action, { method: "POST", body });
  }

  async #go(address: URL, init: RequestInit): Promise<Page> {
    let url = address;
    let request = init;
    for (let redirects = 0; redirects < 20; redirects++) {
      const response = await fetch(url, {
        ...request,
        redirect: "manual",
        headers: { cookie: this.#cookiesFor(url) },
      });
      this.#keep(url, response);
      const location = response.headers.get("location");
      if (location === null) return { url, status: response.status, html: await response.text() };
      await response.body?.cancel();
      url = new URL(location, url);
      request = { method: "GET" };
    }
    throw new Error(`too many redirects from ${address.href}`);
  }

  #cookiesFor({ host }: URL): string {
    return [...(this.#cookies.get(host) ?? [])].map(([name, value]) => `${name}=${value}`).join("; ");
  }

  #keep({ host }: URL, response: Response): void {
    const jar = this.#cookies.get(host) ?? new Map<string, string>();
    this.#cookies.set(host, jar);
    for (const cookie of response.headers.getSetCookie()) {
      const [pair = ""] = cookie.split(";");
      const name = pair.slice(0, pair.indexOf("="));
      const value = pair.slice(pair.indexOf("=") + 1);
      if (value === "" || /expires=Thu, 01 Jan 1970/i.test(cookie)) jar.delete(name);
      else jar.set(name, value);
    }
  }
}

const attribute = (tag: string, name: string): string =>
  (new RegExp(`\\b${name}="([^"]*)"`).exec(tag)?.[1] ?? "").replaceAll("&amp;", "&");
