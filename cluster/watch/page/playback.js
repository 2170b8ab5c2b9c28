// The button that lets the games' tiles move, and the line that says why they stand still.

import { write } from "./dom.js";
import { Live } from "./live.js";

export class Playback {
  /** @param tiles by game, each with a method `frame`, for which pictures are asked from `begin` on. */
  constructor(button, line, tiles) {
    this.button = button;
    this.line = line;
    this.tiles = tiles;
    this.live = new Live(
      (frame) => tiles.get(frame.game)?.frame(frame),
      (trouble) => this.note(trouble),
    );
    button.addEventListener("click", () => this.play(!this.isPlaying));
  }

  get isPlaying() {
    return this.button.getAttribute("aria-pressed") === "true";
  }

  /** Moving pictures only on request, where the system asks for little motion. */
  begin() {
    this.play(!matchMedia("(prefers-reduced-motion: reduce)").matches);
  }

  play(playing) {
    this.button.setAttribute("aria-pressed", playing);
    write(this.button, playing ? "Pause" : "Play live");
    this.note("");
    this.live.play(playing, [...this.tiles.keys()]);
  }

  /** Say what is wrong with the pictures, or else why they stand still. */
  note(trouble) {
    write(this.line, trouble || (this.isPlaying ? "" : "Still pictures. Press “Play live” to see the games move."));
  }
}
