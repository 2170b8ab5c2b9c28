// Asks the server for the run's state every few seconds, and hands it to the parts of the page.

import { showCards } from "./cards.js";
import { html, refresh, span, write } from "./dom.js";
import { Curves, Facts } from "./facts.js";
import { Tile } from "./games.js";
import { Playback } from "./playback.js";

const ASK_MILLISECONDS = 3000;
const ANSWER_MILLISECONDS = 8000;
const STATES = {
  running: (age) => `Running, last report ${age} ago`,
  finished: (age) => `Finished ${age} ago`,
  silent: (age) => `No report for ${age}: stopped, or stuck`,
};

const by = (id) => document.getElementById(id);
const facts = new Facts(by("facts"));
const curves = new Curves();
const tiles = new Map();
const playback = new Playback(by("play"), by("live-note"), tiles);

async function ask() {
  try {
    const answer = await fetch("state", { signal: AbortSignal.timeout(ANSWER_MILLISECONDS) });
    if (!answer.ok) throw new Error(await answer.text());
    show(await answer.json());
  } catch (error) {
    // A request that is cut off as the page is left is no news either.
    status("lost", `No answer: ${error.name === "TypeError" ? "is the server still there?" : error.message}`);
  }
  setTimeout(ask, ASK_MILLISECONDS);
}

function show(state) {
  if (tiles.size === 0) begin(state);
  facts.update(state);
  curves.update(state);
  for (const game of state.games) tiles.get(game.game).state(game, state.learners);
  showCards(state);
  refresh(by("problems"), state.problems, () => state.problems.map((text) => html("li", {}, text)));
  by("problems").hidden = state.problems.length === 0;
  const { state: run, sign_of_life: sign } = state.run;
  const age = sign === null ? null : span(state.now - sign);
  status(run, age === null ? "No report yet" : STATES[run](age));
}

function begin(state) {
  document.title = `${state.run.name} · distill watch`;
  write(by("name"), state.run.name);
  const { network, loss, tau, preset } = state.settings;
  const method = [network, loss && `${loss} loss`, tau && `τ = ${tau}`, preset && `preset ${preset}`]
    .filter(Boolean)
    .join(", ");
  write(by("about"), `distill ${state.run.command}: ${method}`);
  // Nobody is distilled by `distill teach`.
  by("ratio").hidden = state.run.command === "teach";
  by("legend").append(
    ...["student", "teacher"].map((role) => html("span", { class: `who ${role}` }, state.titles[role])),
  );
  for (const game of state.games) {
    const tile = new Tile(game, state.titles, state.settings);
    tiles.set(game.game, tile);
    by("games").append(tile.element);
  }
  by("main").classList.remove("waiting");
  playback.begin();
}

function status(kind, text) {
  by("status").dataset.state = kind;
  write(by("status-text"), text);
}

ask();
