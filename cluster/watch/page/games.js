// The tile of a game: both screens, what both networks think of the student's, and the game's curves.

import { Chart } from "./chart.js";
import { html, number, percent, ratio as ratioText, span, title, write } from "./dom.js";

const ROLES = ["student", "teacher"];

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

/** One screen with its caption; both keep their size when there is nothing to show. */
class Seat {
  constructor(role, name, game) {
    this.role = role;
    this.name = name;
    this.image = html("img", {
      alt: `${game}, played by: ${name}`,
      width: 160,
      height: 210,
      decoding: "sync",
      hidden: "",
    });
    this.words = html("p", { class: "words" }, "Waiting for the first picture …");
    this.who = html("p", { class: `who ${role}` }, name);
    this.score = html("p", { class: "score" }, "–");
    this.detail = html("p", { class: "muted" }, " ");
    this.element = html(
      "div",
      { class: "seat" },
      html("div", { class: "screen" }, this.image, this.words),
      this.who,
      this.score,
      this.detail,
    );
  }

  show(seat, error) {
    if (!seat) {
      this.say(error ?? absent(this.role, this.name));
      return;
    }
    this.image.src = `data:image/png;base64,${seat.picture}`;
    this.image.hidden = false;
    this.words.hidden = true;
    write(this.who, seat.version ? `${this.name} ${seat.version}` : this.name);
    write(this.score, `Score ${number(seat.score)}`);
    write(
      this.detail,
      seat.last_score === null ? span(seat.seconds) : `${span(seat.seconds)}, before ${number(seat.last_score)}`,
    );
  }

  say(text) {
    write(this.words, text);
    this.words.hidden = false;
    this.image.hidden = true;
  }
}

function absent(role, name) {
  return role === "student" ? "No version was published yet." : `No ${name.toLowerCase()} yet: nothing was promoted.`;
}

/** Bars of q-values and probabilities, one row an action. */
class Minds {
  constructor(actions, titles, settings) {
    this.actions = actions;
    this.rows = actions.map((action) => new MindRow(action));
    this.agreement = html("p", { class: "muted agreement" }, " ");
    this.tau = settings.tau;
    this.note = html("p", { class: "muted note" }, " ");
    this.element = html(
      "div",
      { class: "minds" },
      html(
        "div",
        { class: "mind head" },
        html("span", {}, "Action"),
        html("span", {}, "q-values"),
        html("span", {}, "softmax"),
        html("span", {}, ""),
      ),
      html("div", { class: "mind-rows", role: "list" }, ...this.rows.map((row) => row.element)),
      this.note,
      this.agreement,
    );
    this.titles = titles;
  }

  show({ views, seats, screen_of: screenOf, agreement }) {
    if (!views) return;
    this.rows.forEach((row, i) => row.show(i, views, seats[screenOf].action === i));
    const on = this.titles[screenOf].toLowerCase();
    const sharpened = this.tau ? ` The teacher’s softmax has τ = ${this.tau}.` : "";
    write(this.note, `Both networks on the screen of the ${on}.${sharpened}`);
    write(this.agreement, agreement === null ? " " : `Same choice on ${percent(agreement)} of the last 10 s`);
  }
}

class MindRow {
  constructor(action) {
    this.bars = {};
    const group = (kind) =>
      html(
        "span",
        { class: "bars" },
        ...ROLES.map((role) => {
          const bar = html("span", { class: `bar ${role}` });
          this.bars[`${kind} ${role}`] = bar;
          return bar;
        }),
      );
    this.values = html("span", { class: "values" });
    this.element = html(
      "div",
      { class: "mind", role: "listitem" },
      html("span", { class: "action" }, action.replaceAll("_", " ").toLowerCase()),
      group("q"),
      group("p"),
      this.values,
    );
  }

  show(index, views, taken) {
    this.element.classList.toggle("taken", taken);
    for (const role of ROLES) {
      const view = views[role];
      const low = view ? Math.min(...view.outputs) : 0;
      const high = view ? Math.max(...view.outputs) : 0;
      const size = view && high > low ? (view.outputs[index] - low) / (high - low) : 0;
      this.bars[`q ${role}`].style.transform = `scaleX(${size})`;
      this.bars[`p ${role}`].style.transform = `scaleX(${view ? view.probabilities[index] : 0})`;
      this.bars[`q ${role}`].title = view ? `${role}: ${number(view.outputs[index])}` : "";
    }
    const chosen = views.teacher ?? views.student;
    write(this.values, percent(chosen.probabilities[index]));
  }
}
