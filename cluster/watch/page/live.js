// Receives the pictures of the games while somebody looks at the page.

const RETRY_MILLISECONDS = 5000;

/** Keeps a stream of frames open while it is wanted and the page is visible. */
export class Live {
  constructor(onFrame, onTrouble) {
    this.onFrame = onFrame;
    this.onTrouble = onTrouble;
    this.source = null;
    this.wanted = false;
    this.stills = null;
    document.addEventListener("visibilitychange", () => this.adjust());
  }

  /** Play, or show one still picture of every game and stop. */
  play(wanted, games = []) {
    this.wanted = wanted;
    this.stills = wanted ? null : new Set(games);
    this.adjust();
  }

  adjust() {
    const open = !document.hidden && (this.wanted || this.stills?.size > 0);
    if (open && !this.source) this.open();
    if (!open) this.close();
  }

  open() {
    this.source = new EventSource("live");
    this.source.onmessage = ({ data }) => {
      this.onTrouble("");
      const frame = JSON.parse(data);
      this.onFrame(frame);
      if (this.stills?.delete(frame.game)) this.adjust();
    };
    this.source.onerror = () => {
      // The browser tries again by itself, unless the server refused.
      if (this.source.readyState !== EventSource.CLOSED) return;
      this.close();
      this.onTrouble("The server plays for no more viewers just now; trying again.");
      setTimeout(() => this.adjust(), RETRY_MILLISECONDS);
    };
  }

  close() {
    this.source?.close();
    this.source = null;
  }
}
