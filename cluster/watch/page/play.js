// Shows models at play: a tile a game, with the pictures as the server makes them.

import { html, title, write } from "./dom.js";
import { Playback } from "./playback.js";
import { Minds, ROLES, Seat } from "./screens.js";

const ANSWER_MILLISECONDS = 8000;
const RETRY_MILLISECONDS = 3000;

const by = (id) => document.getElementById(id);
const tiles = new Map();
const playback = new Playback(by("play"), by("live-note"), tiles);

async function ask() {
  try {
    const answer = await fetch("state", { signal: AbortSignal.timeout(ANSWER_MILLISECONDS) });
    if (!answer.ok) throw new Error(await answer.text());
    begin(await answer.json());
  } catch (error) {
    playback.note(`No answer: ${error.name === "TypeError" ? "is the server still there?" : error.message}`);
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
  playback.begin();
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

ask();
