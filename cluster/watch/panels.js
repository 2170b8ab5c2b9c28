// The cards below the games: curves of the learners, who waits, buffer, actors, versions, log.

import { Chart } from "./chart.js";
import { count, html, number, percent, refresh, short, span, title, write } from "./dom.js";

const LATE_SECONDS = 20;
const SILENT_SECONDS = 60;

/** The strip of key figures. */
export class Facts {
  constructor(host) {
    this.cells = {};
    for (const name of ["Progress", "Student", "Of the teacher", "Updates per second", "Transitions per second", "Samples per transition"]) {
      const value = html("dd", { class: "value" }, "–");
      const note = html("dd", { class: "muted" }, " ");
      this.cells[name] = { term: html("dt", {}, name), value, note };
      host.append(html("div", { class: "fact" }, this.cells[name].term, value, note));
    }
    this.bar = html("span", { class: "bar plain" });
    this.cells.Progress.note.before(html("dd", { class: "track", "aria-hidden": "true" }, this.bar));
  }

  update(state) {
    const [main] = state.learners;
    const { fraction } = state.run;
    const minutesSet = state.settings.minutes ? ` of ${number(state.settings.minutes)} min` : "";
    this.set("Progress", fraction === null ? (main ? short(main.updates) : "–") : percent(fraction),
      main ? `${count(main.updates)} updates, ${span(main.seconds)}${minutesSet}` : "no update yet");
    this.bar.style.transform = `scaleX(${fraction ?? 0})`;
    const line = state.lines.find((entry) => entry.line === main?.line) ?? state.lines[0];
    write(this.cells.Student.term, state.titles.student);
    this.set("Student", line?.names.latest ? `version ${line.names.latest}` : "–",
      line?.names.best ? `best is ${line.names.best}` : line ? "none is the best yet" : "no version was published yet");
    this.result(state);
    const rates = main?.curves;
    const learnt = rates?.transitions_per_second.findLast((value) => value !== null);
    this.set("Updates per second", number(main?.updates_per_second), main ? main.line === "student" ? "the student’s learner" : "the Q-learner" : "no learner reported yet");
    this.set("Transitions per second", number(learnt), "taken in by the learner");
    this.set("Samples per transition", number(main?.sample_to_insert_ratio), main?.target ? `aimed at ${number(main.target)}` : "not held");
  }

  /** Show how good the student is, or, where nobody is distilled, how good the best is. */
  result({ run, games, ratio }) {
    const cell = "Of the teacher";
    if (run.command === "teach") {
      const best = games.length === 1 ? games[0].scores.teacher.at(-1) : undefined;
      write(this.cells[cell].term, "Best score");
      this.set(cell, number(best?.[1]), games.length > 1 ? "see the games" : best ? "when it was promoted" : "nothing was promoted yet");
      return;
    }
    const newest = ratio.at(-1)?.[1];
    const highest = Math.max(...ratio.map(([, value]) => value));
    write(this.cells[cell].term, games.length > 1 ? "Of the teachers" : "Of the teacher");
    this.set(cell, number(newest), newest === undefined ? "no evaluation to compare yet" : `${games.length > 1 ? "mean of the games, " : ""}highest ${number(highest)}`);
  }

  set(name, value, note) {
    write(this.cells[name].value, value);
    write(this.cells[name].note, note);
  }
}

/** Curves of the whole run. */
export class Curves {
  constructor() {
    this.ratio = card("ratio", new Chart("Ratio to the teacher", "No evaluation yet to compare with a teacher."));
    this.updates = card("updates", new Chart("Updates per second", "No update yet."));
    this.transitions = card("transitions", new Chart("Transitions per second", "No transition arrived yet."));
  }

  update({ games, ratio, learners }) {
    const several = games.length > 1 && ratio.length > 0;
    const single = games.map(({ game, scores }) => ({ name: title(game), role: several ? "student thin" : "student", points: scores.ratio, dots: !several }));
    const mean = several ? [{ name: "mean", role: "student", points: ratio, dots: true }] : [];
    const end = Math.max(0, ...single.flatMap(({ points }) => points.map(([x]) => x)));
    const one = end > 0 ? [{ name: "teacher", role: "teacher", points: [[0, 1], [end, 1]] }] : [];
    this.ratio.update([...mean, ...single, ...one]);
    for (const [chart, key] of [[this.updates, "updates_per_second"], [this.transitions, "transitions_per_second"]]) {
      chart.update(learners.map(({ line, curves }) => ({
        name: learners.length > 1 ? line : "now",
        role: line === "student" ? "student" : "candidate",
        points: curves.minutes.map((at, i) => [at, curves[key][i]]),
      })));
    }
  }
}

function card(id, chart) {
  document.getElementById(id).append(chart.element);
  return chart;
}

/** Return the cards of text and bars with what they show of a state. */
export function showCards(state) {
  showWaits(document.getElementById("waits"), state);
  showFill(document.getElementById("fill"), state);
  showLearners(document.getElementById("learners"), state);
  showVersions(document.getElementById("versions"), state);
  showActors(document.getElementById("actors"), state);
  showLog(document.getElementById("log"), state);
}

function panel(element, heading, key, body) {
  refresh(element, [heading, key], () => [html("h3", {}, heading), ...body()]);
}

const empty = (text) => html("p", { class: "empty" }, text);

function meter(name, share, text, role = "plain") {
  const bar = html("span", { class: `bar ${role}` });
  bar.style.transform = `scaleX(${Math.max(0, Math.min(1, share ?? 0))})`;
  return html("div", { class: "meter" }, html("span", {}, name), html("span", { class: "track" }, bar), html("span", { class: "amount" }, text));
}

const WAITS = { learner: "waits for data", feed: "waits for the learner", actors: "wait for room in the buffer" };

function showWaits(element, { waits, learners }) {
  panel(element, "Who waits for whom", waits, () => {
    if (!waits.length) return [empty("Known once the run has reported twice.")];
    const longest = waits.reduce((a, b) => (b.share > a.share ? b : a));
    const several = learners.length > 1;
    const name = ({ who, line }) => (who === "actors" ? "Actors" : `${several ? `${line}: ` : ""}${who === "learner" ? "Learner" : "Feed"}`);
    const verdict = longest.share < 0.05 ? "Nobody waits."
      : longest.who === "learner" ? "The actors are the slower side: the learner waits for them."
      : "The learner is the slower side: the others wait for it.";
    return [html("p", {}, verdict),
      ...waits.map((wait) => meter(`${name(wait)} ${WAITS[wait.who]}`, wait.share, percent(wait.share))),
      html("p", { class: "muted note" }, "Share of the last minute that was reported.")];
  });
}

function showFill(element, { games }) {
  panel(element, "Replay", games.map(({ game, transitions, replay }) => [game, transitions, replay]), () => {
    if (!games.some(({ transitions }) => transitions)) return [empty("No transition arrived yet.")];
    return games.map(({ game, transitions, replay, capacity }) => (replay === null
      ? meter(title(game), null, `${short(transitions)} seen`)
      : meter(title(game), replay / capacity, `${short(replay)} of ${short(capacity)}`)))
      .concat(games.every(({ replay }) => replay === null)
        ? [html("p", { class: "muted note" }, "Transitions learned from; this kind of run does not report how full its replay is.")]
        : [html("p", { class: "muted note" }, "Transitions in the learner’s memory, by game.")]);
  });
}

function showLearners(element, { learners }) {
  panel(element, learners.length > 1 ? "Learners" : "Learner", learners.map(({ curves, ...rest }) => rest), () => {
    if (!learners.length) return [empty("No learner reported yet.")];
    return learners.map((learner) => {
      const refused = Object.values(learner.rejected_chunks ?? {}).reduce((a, b) => a + b, 0);
      const loss = Object.entries(learner.loss).map(([game, value]) => `${title(game)} ${number(value)}`).join(", ");
      const lag = Object.entries(learner.lag ?? {}).map(([game, value]) => `${title(game)} ${number(value)}`).join(", ");
      const facts = [
        ["Updates", count(learner.updates)], ["Loss", loss || "none yet"], ["Version", learner.version || "none yet"],
        ["Versions behind", lag], ["Refused chunks", count(refused)], ["Skipped updates", count(learner.nonfinite_updates)],
      ].filter(([, value]) => value !== "");
      return html("dl", { class: "pairs", "aria-label": learner.line },
        ...(learners.length > 1 ? [html("div", { class: "pair" }, html("dt", { class: `who ${learner.line === "student" ? "student" : "teacher"}` }, learner.line), html("dd", {}, ""))] : []),
        ...facts.map(([name, value]) => html("div", { class: "pair" }, html("dt", {}, name), html("dd", {}, `${value}`))));
    });
  });
}

function showVersions(element, { lines, now }) {
  panel(element, "Versions and promotions", [lines, Math.floor(now / 60)], () => {
    if (!lines.length) return [empty("No version was published yet.")];
    return lines.flatMap(({ line, names, versions, promotions }) => {
      const named = Object.entries(names).map(([name, version]) => `${name} ${version}`).join(", ");
      const parts = [html("p", {}, html("strong", { class: `who ${line === "student" ? "student" : "teacher"}` }, line),
        ` ${count(versions)} ${versions === 1 ? "version" : "versions"}${named ? `: ${named}` : ""}`)];
      if (promotions.length) {
        parts.push(html("ol", { class: "events" }, ...promotions.map((promotion) => html("li", {},
          html("time", {}, `${span(now - promotion.time)} ago`),
          html("span", {}, `${promotion.kind === "promotion" ? "Promoted" : "Rolled back to"} ${promotion.version}`,
            promotion.parent === null ? "" : ` after ${promotion.parent}`, `: ${promotion.why}`)))));
      }
      return parts;
    });
  });
}

const TIMES = ["inference", "environment", "push", "wait"];

function showActors(element, { actors, restarts, run, now }) {
  const ages = actors.map(({ time }) => (run.state === "running" ? now - time : null));
  const health = ages.map((age) => (age === null ? "ended" : age < LATE_SECONDS ? "healthy" : age < SILENT_SECONDS ? "late" : "silent"));
  panel(element, "Actors", [actors, restarts, health], () => {
    if (!actors.length) return [empty("No actor reported yet.")];
    const replaced = Object.entries(restarts).map(([role, times]) => `${role} ${times}`).join(", ");
    return [
      html("p", {}, replaced ? `Started again: ${replaced}.` : "None had to be started again."),
      ...actors.map((actor, i) => {
        const total = TIMES.reduce((sum, name) => sum + (actor.seconds[name] ?? 0), 0) || 1;
        const parts = TIMES.map((name) => {
          const part = html("span", { class: `part ${name}` });
          part.style.flexGrow = (actor.seconds[name] ?? 0) / total;
          return part;
        });
        const told = TIMES.map((name) => `${name} ${percent((actor.seconds[name] ?? 0) / total)}`).join(", ");
        const age = ages[i] === null ? "" : `, ${span(ages[i])} ago`;
        return html("div", { class: "actor" },
          html("span", { class: `health ${health[i]}` }, html("span", { class: "dot" }), `${actor.name} `, html("span", { class: "muted" }, `${health[i]}${age}`)),
          html("span", { class: "amount" }, actor.per_second === null ? `${short(actor.transitions)} transitions` : `${number(actor.per_second)} transitions/s`),
          html("span", { class: "parts", title: told, role: "img", "aria-label": told }, ...parts),
          html("span", { class: "muted" }, `${count(actor.episodes)} episodes`,
            actor.outages ? `, buffer away ${count(actor.outages)} times` : "",
            actor.full ? `, found it full ${count(actor.full)} times` : ""));
      }),
      html("p", { class: "key muted" }, ...TIMES.map((name) => html("span", {}, html("span", { class: `swatch part ${name}` }), name))),
    ];
  });
}

function showLog(element, { log }) {
  panel(element, "Log", log, () => (log.length
    ? [html("ol", { class: "events" }, ...log.map(({ time, level, text }) => html("li", { class: level.toLowerCase() }, html("time", {}, time), html("span", {}, text))))]
    : [empty("Nothing was logged yet.")]));
}
