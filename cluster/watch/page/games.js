// The tile of a game: both screens, what both networks think of the student's, and the game's curves.

import { Chart } from "./chart.js";
import { html, number, ratio as ratioText, title, write } from "./dom.js";
import { Minds, ROLES, Seat } from "./screens.js";

export class Tile {
  constructor(game, titles, settings) {
    this.game = game.game;
    this.titles = titles;
    this.ratio = html("p", { class: "muted" });
    this.seats = Object.fromEntries(ROLES.map((role) => [role, new Seat(role, titles[role], title(game.game))]));
    this.minds = new Minds(game.actions, titles, settings);
    this.scores = new Chart("Score per episode", "No evaluation yet. The first comes with the first version.");
    this.loss = new Chart("Loss", "No update yet.");
    this.element = html(
      "article",
      { class: "tile", "aria-label": title(game.game) },
      html("div", { class: "tile-head" }, html("h3", {}, title(game.game)), this.ratio),
      html(
        "div",
        { class: "tile-body" },
        html("div", { class: "play" }, ...ROLES.map((role) => this.seats[role].element), this.minds.element),
        html("div", { class: "curves" }, this.scores.element, this.loss.element),
      ),
    );
  }

  /** Show what the run's folder says of the game. */
  state(game, learners) {
    const { student, candidate, teacher, random, ratio } = game.scores;
    write(this.ratio, ratio.length ? `${ratioText(ratio.at(-1)[1])} of the teacher` : "");
    const end = Math.max(0, ...[...student, ...candidate].map((point) => point.minutes));
    const series = [];
    if (student.length) series.push(evaluated("student", "student", student));
    if (candidate.length) series.push({ ...evaluated("candidates", "candidate", candidate), band: undefined });
    if (teacher.length) {
      const name = this.titles.teacher.toLowerCase();
      series.push({
        name,
        role: "teacher",
        points: [...teacher, [Math.max(end, teacher.at(-1)[0]), teacher.at(-1)[1]]],
        step: true,
      });
    }
    if (random !== null && series.length)
      series.push({
        name: "random play",
        role: "random",
        points: [
          [0, random],
          [end, random],
        ],
      });
    // A teacher's score alone is no curve.
    this.scores.update(student.length || candidate.length ? series : []);
    const learner = learners.find(({ curves }) => this.game in curves.loss);
    const points = learner ? learner.curves.minutes.map((at, i) => [at, learner.curves.loss[this.game][i]]) : [];
    this.loss.update([{ name: "loss", role: learner?.lineage === "student" ? "student" : "plain", points }]);
  }

  /** Show a frame of the live play. */
  frame(frame) {
    for (const role of ROLES) this.seats[role].show(frame.seats?.[role], frame.error);
    this.minds.show(frame);
  }
}

function evaluated(name, role, points) {
  return {
    name,
    role,
    dots: true,
    points: points.map(({ minutes, mean }) => [minutes, mean]),
    band: points.map(({ minutes, low, high }) => [minutes, low, high]),
    detail: (i) => `${number(points[i].mean)} (version ${points[i].version}, ${points[i].episodes} episodes)`,
  };
}
