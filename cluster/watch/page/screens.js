// Two screens of a game, and what both networks think of one of them.

import { html, number, percent, span, write } from "./dom.js";

export const ROLES = ["student", "teacher"];

/** One screen with its caption; both keep their size when there is nothing to show. */
export class Seat {
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

/** Bars of q-values and probabilities, one row an action; with `numbers`, the q-values themselves beside them. */
export class Minds {
  constructor(actions, titles, settings, numbers = false) {
    this.actions = actions;
    this.rows = actions.map((action) => new MindRow(action, numbers));
    this.agreement = html("p", { class: "muted agreement" }, " ");
    this.tau = settings.tau;
    this.note = html("p", { class: "muted note" }, " ");
    this.element = html(
      "div",
      { class: numbers ? "minds numbers" : "minds" },
      html(
        "div",
        { class: "mind head" },
        html("span", {}, "Action"),
        html("span", {}, "q-values"),
        html("span", {}, "softmax"),
        html("span", { class: "values" }, numbers ? "q" : ""),
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
    const both = views.student && views.teacher;
    const seen = both ? `Both networks on the screen of ${this.titles[screenOf]}.` : "";
    const sharpened = this.tau && views.teacher ? ` The softmax of ${this.titles.teacher} has τ = ${this.tau}.` : "";
    write(this.note, `${seen}${sharpened}`.trim() || " ");
    write(this.agreement, agreement === null ? " " : `Same choice on ${percent(agreement)} of the last 10 s`);
  }
}

class MindRow {
  constructor(action, numbers) {
    this.numbers = numbers;
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
    if (this.numbers) {
      write(this.values, ROLES.flatMap((role) => (views[role] ? [q(views[role].outputs[index])] : [])).join(" | "));
      return;
    }
    const chosen = views.teacher ?? views.student;
    write(this.values, percent(chosen.probabilities[index]));
  }
}

/** Return a q-value with digits enough to tell actions apart. */
const q = (value) => value.toFixed(Math.abs(value) < 100 ? 2 : 1).replace("-", "−");
