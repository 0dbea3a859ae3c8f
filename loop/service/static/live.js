// The live stream. The browser reconnects by itself and says which event it saw last; where it gives up (the server answered with an
// error while it restarted), a new stream starts after the last event, so that nothing is missed. While there is no connection, a
// banner says so.

const FIRST_WAIT = 400;
const LONGEST_WAIT = 5000;
const PATIENCE = 600; // a blink of the connection is not worth a banner

/** One stream of events at an address, until it is closed. */
export class Live {
  #source = null;
  #wait = FIRST_WAIT;
  #timer = 0;
  #banner = 0;
  #isClosed = false;

  /** `names`: the events to listen to; `receive(name, data)` gets each one; `caughtUp()` is called when the connection is back. */
  constructor(url, names, receive, { after = null, caughtUp = () => {} } = {}) {
    this.url = url;
    this.names = names;
    this.receive = receive;
    this.caughtUp = caughtUp;
    this.after = after;
    this.wasLost = false;
    this.online = () => this.#retry(0);
    window.addEventListener("online", this.online);
    this.#open();
  }

  /** Ends the stream. */
  close() {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#banner);
    window.removeEventListener("online", this.online);
    if (this.#source) this.#source.close();
    say("");
  }

  #open() {
    if (this.#isClosed) return;
    const query = this.after === null ? "" : `?after=${this.after}`;
    const source = new EventSource(this.url + query);
    this.#source = source;
    source.addEventListener("open", () => this.#found());
    source.addEventListener("error", () => this.#lose(source));
    for (const name of this.names) {
      source.addEventListener(name, (event) => {
        if (name !== "hello" && /^\d+$/.test(event.lastEventId)) this.after = Number(event.lastEventId);
        this.receive(name, event.data ? JSON.parse(event.data) : null);
      });
    }
  }

  #found() {
    this.#wait = FIRST_WAIT;
    clearTimeout(this.#banner);
    this.#banner = 0;
    say("");
    document.documentElement.dataset.live = "yes";
    if (this.wasLost) this.caughtUp();
    this.wasLost = false;
  }

  #lose(source) {
    if (this.#isClosed || source !== this.#source) return;
    this.wasLost = true;
    document.documentElement.dataset.live = "no";
    if (!this.#banner) {
      this.#banner = setTimeout(() => say("The connection to the service is lost. What you see may be old; the page reconnects by itself."), PATIENCE);
    }
    // The browser's own retry takes seconds and stops for good at an error status: one way for both.
    source.close();
    this.#retry(this.#wait);
    this.#wait = Math.min(LONGEST_WAIT, 1.6 * this.#wait);
  }

  #retry(wait) {
    if (this.#isClosed || (this.#source && this.#source.readyState === EventSource.OPEN)) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), wait);
  }
}

function say(sentence) {
  const banner = document.getElementById("lost");
  if (banner.textContent !== sentence) banner.textContent = sentence;
  banner.hidden = sentence === "";
}
