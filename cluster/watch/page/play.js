// Shows models at play: a tile a game, with the pictures as the server makes them.

import { html, title, write } from "./dom.js";
import { Live } from "./live.js";
import { Minds, ROLES, Seat } from "./screens.js";

const ANSWER_MILLISECONDS = 8000;
const RETRY_MILLISECONDS = 3000;

const by = (id) => document.getElementById(id);
const tiles = new Map();
const live = new Live((frame) => tiles.get(frame.game)?.frame(frame), note);
const playButton = by("play");

async function ask() {
  try {
    const answer = await fetch("state", { signal: AbortSignal.timeout(ANSWER_MILLISECONDS) });
    if (!answer.ok) throw new Error(await answer.text());
    begin(await answer.json());
  } catch (error) {
    note(`No answer: ${error.name === "TypeError" ? "is the server still there?" : error.message}`);
    setTimeout(ask, RETRY_MILLISECONDS);
  }
}

function begin({ name, about, titles, tau, games }) {
  document.title = `${name} · distill play`;
  write(by("name"), name);
  write(by("about"), about);
  const roles = ROLES.filter((role) => titles[role]);
  by("legend").append(...roles.map((role) => html("span", { class: `who ${role}` }, titles[role])));
  for (const game of games) {
    const tile = new Tile(game, titles, tau);
    tiles.set(game.game, tile);
    by("games").append(tile.element);
  }
  by("main").classList.remove("waiting");
  // Moving pictures only on request, where the system asks for little motion.
  setPlaying(!matchMedia("(prefers-reduced-motion: reduce)").matches);
}

class Tile {
  constructor({ game, actions, players }, titles, tau) {
    const name = title(game);
    this.seats = Object.fromEntries(players.map((role) => [role, new Seat(role, titles[role], name)]));
    this.minds = new Minds(actions, titles, { tau }, true);
    this.element = html(
      "article",
      { class: "tile", "aria-label": name },
      html("div", { class: "tile-head" }, html("h3", {}, name)),
      html(
        "div",
        { class: players.length === 1 ? "play alone" : "play" },
        ...players.map((role) => this.seats[role].element),
        this.minds.element,
      ),
    );
  }

  frame(frame) {
    for (const [role, seat] of Object.entries(this.seats)) seat.show(frame.seats?.[role], frame.error);
    this.minds.show(frame);
  }
}

const isPlaying = () => playButton.getAttribute("aria-pressed") === "true";

function setPlaying(playing) {
  playButton.setAttribute("aria-pressed", playing);
  write(playButton, playing ? "Pause" : "Play live");
  note("");
  live.play(playing, [...tiles.keys()]);
}

/** Say what is wrong with the pictures, or else why they stand still. */
function note(trouble) {
  write(by("live-note"), trouble || (isPlaying() ? "" : "Still pictures. Press “Play live” to see the games move."));
}

playButton.addEventListener("click", () => setPlaying(!isPlaying()));

ask();
